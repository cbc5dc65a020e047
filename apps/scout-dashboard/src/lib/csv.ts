type Cell = string | number | boolean | null

/** CSV for spreadsheets: RFC 4180, with a byte order mark that says UTF-8. */
export function toCsv(columns: readonly string[], rows: Iterable<Record<string, Cell>>): string {
  const lines = [columns.join(',')]
  for (const row of rows) lines.push(columns.map((column) => cell(row[column] ?? null)).join(','))
  return `\uFEFF${lines.join('\r\n')}\r\n`
}

function cell(value: Cell): string {
  if (value === null) return ''
  if (typeof value !== 'string') return String(value)
  // A text from Odoo must not run as a formula. Spreadsheets also accept fullwidth signs.
  const text = /^[=+\-@＝＋－＠\t\r\n]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** Makes the browser save a text as a file. */
export function download(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/csv;charset=utf-8' }))
  const link = document.createElement('a')
  link.href = address
  link.download = name
  link.click()
  // The browser may start to read after `click` has returned.
  setTimeout(() => URL.revokeObjectURL(address), 10_000)
}

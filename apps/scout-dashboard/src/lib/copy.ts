/**
 * Puts a text on the clipboard that is still to come.
 *
 * Safari lets only what begins with the click write there, so it gets the promise; Firefox and others take the text once it is there. A page that came by
 * plain http has no clipboard, but the old way.
 */
export async function copyText(text: Promise<string>): Promise<void> {
  // Not every browser has it, whatever the types say.
  const clipboard = navigator.clipboard as Clipboard | undefined
  if (clipboard && 'ClipboardItem' in globalThis) {
    try {
      await clipboard.write([
        new ClipboardItem({
          'text/plain': text.then((content) => new Blob([content], { type: 'text/plain' })),
        }),
      ])
      return
    } catch {
      // The text itself may be what failed: that is thrown below.
    }
  }
  const content = await text
  if (clipboard) await clipboard.writeText(content)
  else copyFromField(content)
}

function copyFromField(content: string): void {
  const focused = document.activeElement
  const field = document.createElement('textarea')
  field.value = content
  field.style.position = 'fixed'
  field.style.opacity = '0'
  document.body.append(field)
  try {
    field.focus()
    field.select()
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- There is no other way without a secure context.
    if (!document.execCommand('copy')) throw new Error('The browser does not let the page copy.')
  } finally {
    field.remove()
    if (focused instanceof HTMLElement) focused.focus()
  }
}

/**
 * Copies a text to the clipboard once it has loaded.
 *
 * Safari allows a write only if it starts with the click, so it gets the promise. Other browsers
 * get the loaded text. Over plain HTTP a page has no clipboard and copies from a text field.
 */
export async function copyText(text: Promise<string>): Promise<void> {
  // The types say that it always exists, but without a secure context it does not.
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
      // If loading the text has failed, `await text` throws that error.
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
    // Without a secure context there is no other way.
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    if (!document.execCommand('copy')) throw new Error('The browser does not let the page copy.')
  } finally {
    field.remove()
    if (focused instanceof HTMLElement) focused.focus()
  }
}

// @vitest-environment jsdom
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import { copyText } from '../src/lib/copy'

// jsdom has no clipboard. The tests in tests/dashboard copy in a real browser.
beforeEach(() => {
  command(() => false)
})
afterEach(() => {
  vi.unstubAllGlobals()
  Reflect.deleteProperty(document, 'execCommand')
})

/** Replaces `document.execCommand`: deprecated, but the only way without a secure context. */
const command = (execute: (name: string) => boolean) =>
  Reflect.set(document, 'execCommand', execute)
const clipboard = (object: object | undefined) => vi.stubGlobal('navigator', { clipboard: object })

class Item {
  constructor(readonly parts: Record<string, Promise<Blob>>) {}
}

it('starts to write with the click, before the text has loaded', async () => {
  vi.stubGlobal('ClipboardItem', Item)
  const write = vi.fn(async ([item]: Item[]) => {
    expect(await (await item?.parts['text/plain'])?.text()).toBe('{"late":true}')
  })
  clipboard({ write })
  let come: (text: string) => void = () => undefined
  const copied = copyText(new Promise((resolve) => (come = resolve)))
  expect(write).toHaveBeenCalledTimes(1)
  come('{"late":true}')
  await copied
})

it('writes the loaded text if the browser refuses a promise', async () => {
  const writeText = vi.fn(() => Promise.resolve())
  clipboard({ write: () => Promise.reject(new Error('not allowed')), writeText })
  await copyText(Promise.resolve('one'))
  vi.stubGlobal('ClipboardItem', Item)
  await copyText(Promise.resolve('two'))
  expect(writeText.mock.calls).toEqual([['one'], ['two']])
})

it('copies from a field if the page has no clipboard', async () => {
  clipboard(undefined)
  let copied = ''
  command((name) => {
    copied = `${name}: ${(document.activeElement as HTMLTextAreaElement).value}`
    return true
  })
  await copyText(Promise.resolve('text'))
  expect(copied).toBe('copy: text')
  expect(document.querySelector('textarea')).toBeNull()
  command(() => false)
  await expect(copyText(Promise.resolve('text'))).rejects.toThrow('does not let the page copy')
})

it('throws the error of the text', async () => {
  vi.stubGlobal('ClipboardItem', Item)
  clipboard({
    write: ([item]: Item[]) => item?.parts['text/plain'],
    writeText: () => Promise.resolve(),
  })
  await expect(copyText(Promise.reject(new Error('no answer')))).rejects.toThrow('no answer')
})

// @vitest-environment jsdom
import { act, cleanup, renderHook } from '@testing-library/react'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import { useLiveQuery } from '../src/hooks/useLiveQuery'
import type { RealtimeState } from '../src/lib/realtime'
import { pageWrapper } from './page'

const LIVE: RealtimeState = { mode: 'realtime', reason: '' }

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  cleanup()
  vi.useRealTimers()
})

/** A query with the key `page`, on a page that polls every 15 seconds. */
function render(read: (page: number) => Promise<string>, realtime?: RealtimeState) {
  const usePage = ({ page }: { page: number }) => useLiveQuery([page], () => read(page))
  const wrapper = pageWrapper(realtime ? { realtime } : {})
  return renderHook(usePage, { wrapper, initialProps: { page: 1 } })
}
const seconds = (count: number) => act(() => vi.advanceTimersByTimeAsync(count * 1000))

it('polls every pollSeconds without Realtime', async () => {
  const read = vi.fn(() => Promise.resolve('rows'))
  const { result } = render(read)
  expect(result.current).toMatchObject({ data: null, loading: true, error: null, at: null })
  await seconds(14)
  expect(result.current).toMatchObject({ data: 'rows', loading: false, error: null })
  expect(result.current.at).toBeInstanceOf(Date)
  expect(read).toHaveBeenCalledTimes(1)
  await seconds(2)
  expect(read).toHaveBeenCalledTimes(2)
})

it('polls every five minutes with Realtime', async () => {
  const read = vi.fn(() => Promise.resolve('rows'))
  render(read, LIVE)
  await seconds(290)
  expect(read).toHaveBeenCalledTimes(1)
  await seconds(20)
  expect(read).toHaveBeenCalledTimes(2)
})

it('polls by the answer if the query says so', async () => {
  const read = vi.fn(() => Promise.resolve('rows'))
  const seconds = (data?: string) => (data === undefined ? 60 : 2)
  renderHook(() => useLiveQuery(['own'], read, { seconds }), {
    wrapper: pageWrapper({ realtime: LIVE }),
  })
  await vi.advanceTimersByTimeAsync(7000)
  expect(read).toHaveBeenCalledTimes(4)
})

it('retries a failed request after pollSeconds with Realtime', async () => {
  const read = vi.fn(() => Promise.resolve('rows'))
  read.mockRejectedValueOnce(new Error('lost'))
  const { result } = render(read, LIVE)
  await seconds(1)
  expect(result.current).toMatchObject({ data: null, loading: false })
  expect(result.current.error?.detail).toBe('lost')
  await seconds(15)
  expect(result.current).toMatchObject({ data: 'rows', error: null })
  await seconds(60)
  expect(read).toHaveBeenCalledTimes(2)
})

it('shows an error until the retry has a result', async () => {
  const retries: ((text: string) => void)[] = []
  const read = vi.fn(() => new Promise<string>((resolve) => retries.push(resolve)))
  read.mockRejectedValueOnce(new Error('lost'))
  const { result } = render(read)
  await seconds(1)
  act(() => result.current.retry())
  await seconds(1)
  expect(read).toHaveBeenCalledTimes(2)
  expect(result.current).toMatchObject({ data: null, loading: false })
  expect(result.current.error?.detail).toBe('lost')
  retries[0]?.('rows')
  await seconds(1)
  expect(result.current).toMatchObject({ data: 'rows', error: null })
})

it('shows the previous rows until the next are loaded, not after an error', async () => {
  const read = (page: number) =>
    new Promise<string>((resolve, reject) => {
      setTimeout(() => (page === 3 ? reject(new Error('lost')) : resolve(`page ${page}`)), 500)
    })
  const { result, rerender } = render(read)
  await seconds(1)
  rerender({ page: 2 })
  expect(result.current).toMatchObject({ data: 'page 1', loading: true })
  await seconds(1)
  expect(result.current).toMatchObject({ data: 'page 2', loading: false })
  rerender({ page: 3 })
  expect(result.current).toMatchObject({ data: 'page 2', loading: true, error: null })
  await seconds(1)
  expect(result.current).toMatchObject({ data: null, loading: false })
  expect(result.current.error?.detail).toBe('lost')
  // During the retry, the rows of page 2 do not return.
  await seconds(14.1)
  expect(result.current).toMatchObject({ data: null, loading: false })
  rerender({ page: 2 })
  expect(result.current).toMatchObject({ data: 'page 2', loading: false, error: null })
})

it('does not poll while the page is hidden, but when it becomes visible', async () => {
  const visibility = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden')
  const read = vi.fn(() => Promise.resolve('rows'))
  render(read)
  await seconds(100)
  expect(read).toHaveBeenCalledTimes(1)
  visibility.mockReturnValue('visible')
  act(() => void document.dispatchEvent(new Event('visibilitychange', { bubbles: true })))
  await seconds(1)
  expect(read).toHaveBeenCalledTimes(2)
})

it('refetches when the browser is online again', async () => {
  const read = vi.fn(() => Promise.resolve('rows'))
  render(read)
  await seconds(1)
  act(() => void globalThis.dispatchEvent(new Event('offline')))
  act(() => void globalThis.dispatchEvent(new Event('online')))
  await seconds(1)
  expect(read).toHaveBeenCalledTimes(2)
})

it('also tries while the browser says that it is offline', async () => {
  const read = vi.fn(() => Promise.resolve('rows'))
  act(() => void globalThis.dispatchEvent(new Event('offline')))
  const { result } = render(read)
  await seconds(1)
  act(() => void globalThis.dispatchEvent(new Event('online')))
  expect(result.current.data).toBe('rows')
})

it('stops polling when the page is left', async () => {
  const read = vi.fn(() => Promise.resolve('rows'))
  const { unmount } = render(read)
  await seconds(1)
  unmount()
  await seconds(60)
  expect(read).toHaveBeenCalledTimes(1)
})

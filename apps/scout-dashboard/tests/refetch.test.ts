// @vitest-environment jsdom
import { QueryObserver } from '@tanstack/react-query'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import { createQueryClient } from '../src/lib/queries'
import { createRefetcher } from '../src/lib/refetch'

const undo: (() => void)[] = []
beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  for (const action of undo.splice(0)) action()
  vi.useRealTimers()
})

/** A refetcher, and one query on the screen whose requests take `answerMs`. */
async function start(answerMs: number) {
  const client = createQueryClient()
  const read = vi.fn(() => new Promise((resolve) => setTimeout(() => resolve(1), answerMs)))
  const observer = new QueryObserver(client, { queryKey: ['metrics'], queryFn: read })
  undo.push(observer.subscribe(() => undefined))
  await vi.advanceTimersByTimeAsync(answerMs)
  read.mockClear()
  const refetcher = createRefetcher(client)
  undo.push(refetcher.stop)
  return { read, ...refetcher }
}

/** Reports a change every 100 ms. */
async function changesFor(seconds: number, refetchSoon: () => void) {
  for (let n = 0; n < seconds * 10; n++) {
    refetchSoon()
    await vi.advanceTimersByTimeAsync(100)
  }
}

it('reads every second while changes keep coming', async () => {
  const { read, refetchSoon } = await start(100)
  await changesFor(10, refetchSoon)
  expect(read).toHaveBeenCalledTimes(10)
})

it('pauses for longer if the server answers slowly', async () => {
  const { read, refetchSoon } = await start(1000)
  await changesFor(12, refetchSoon)
  // Each of them takes a second, and the pause three.
  expect(read).toHaveBeenCalledTimes(3)
})

it('never pauses for longer than ten seconds', async () => {
  const { read, refetchSoon } = await start(15_000)
  await changesFor(16, refetchSoon)
  expect(read).toHaveBeenCalledTimes(1)
  await changesFor(10, refetchSoon)
  expect(read).toHaveBeenCalledTimes(2)
})

it('does not read after it has been stopped', async () => {
  const { read, refetchSoon, stop } = await start(100)
  refetchSoon()
  stop()
  await vi.advanceTimersByTimeAsync(5000)
  expect(read).not.toHaveBeenCalled()
})

// @vitest-environment jsdom
import { act, cleanup, renderHook } from '@testing-library/react'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import { followingOf, useFollowedChanges, useFreshness } from '../src/hooks/useHealth'
import { useLiveQuery } from '../src/hooks/useLiveQuery'
import { formats } from '../src/lib/format'
import { liveness } from '../src/lib/live'
import type { RealtimeState } from '../src/lib/realtime'
import { pageWrapper } from './page'

const REALTIME: RealtimeState = { mode: 'realtime', reason: '' }
const POLLING: RealtimeState = { mode: 'polling', reason: 'Realtime is switched off' }

interface Counts {
  checked_at: string | null
  last_poll: string | null
  live: boolean | null
}
const UNFOLLOWED = { checked_at: '2026-01-06T08:00:00Z', last_poll: null, live: null }
const LIVE = { ...UNFOLLOWED, last_poll: '2026-01-06T09:00:00Z', live: true }
const STOPPED = { ...LIVE, live: false }

let counts: Counts = UNFOLLOWED
let reachable = true
const asked = vi.fn()

beforeEach(() => {
  vi.useFakeTimers()
  reachable = true
  asked.mockClear()
  vi.stubGlobal('fetch', () => {
    asked()
    return reachable
      ? Promise.resolve(Response.json([counts]))
      : Promise.reject(new TypeError('Failed to fetch'))
  })
})
afterEach(() => {
  cleanup()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})
const seconds = (count: number) => act(() => vi.advanceTimersByTimeAsync(count * 1000))

/** A page with one query on the screen, which `read` answers. */
async function open(realtime: RealtimeState) {
  const read = vi.fn(() => Promise.resolve('rows'))
  const { result } = renderHook(
    () => {
      useFollowedChanges()
      useLiveQuery(['metrics'], read)
      return followingOf(useFreshness())
    },
    { wrapper: pageWrapper({ realtime }) },
  )
  await seconds(0.1)
  asked.mockClear()
  read.mockClear()
  return { read, result }
}

it('checks a followed mirror twice a second without Realtime', async () => {
  counts = LIVE
  const { read } = await open(POLLING)
  await seconds(10)
  expect(asked).toHaveBeenCalledTimes(20)
  // Only the small request.
  expect(read).not.toHaveBeenCalled()
})

it.each([
  ['live, with Realtime', LIVE, REALTIME],
  ['not followed', UNFOLLOWED, POLLING],
  ['not followed, with Realtime', UNFOLLOWED, REALTIME],
  ['no longer followed', STOPPED, POLLING],
])('checks every 15 seconds: %s', async (_name, state, realtime) => {
  counts = state
  await open(realtime)
  await seconds(61)
  expect(asked).toHaveBeenCalledTimes(4)
})

it('refetches within a second of a change of a followed mirror', async () => {
  counts = LIVE
  const { read } = await open(POLLING)
  counts = { ...LIVE, checked_at: '2026-01-06T08:00:01Z' }
  await seconds(0.8)
  expect(read).toHaveBeenCalledTimes(1)
  await seconds(3)
  expect(read).toHaveBeenCalledTimes(1)
})

it('does not refetch for a poll that found no change', async () => {
  counts = LIVE
  const { read } = await open(POLLING)
  counts = { ...LIVE, last_poll: '2026-01-06T09:00:10Z' }
  await seconds(3)
  expect(read).not.toHaveBeenCalled()
})

it('leaves the changes to Realtime if there is one', async () => {
  counts = LIVE
  const { read, result } = await open(REALTIME)
  counts = { ...LIVE, checked_at: '2026-01-06T10:00:00Z' }
  await seconds(60)
  expect(result.current.synced).toEqual(new Date('2026-01-06T10:00:00Z'))
  expect(read).not.toHaveBeenCalled()
})

it('notices that a follower starts and stops', async () => {
  counts = UNFOLLOWED
  const { result } = await open(POLLING)
  expect(result.current).toMatchObject({ live: null, lastPoll: null })
  counts = LIVE
  await seconds(16)
  expect(result.current.live).toBe(true)
  // A poll without changes is a comparison, too.
  expect(result.current.synced).toEqual(new Date('2026-01-06T09:00:00Z'))
  counts = STOPPED
  await seconds(1)
  expect(result.current.live).toBe(false)
  expect(result.current.lastPoll).toEqual(new Date('2026-01-06T09:00:00Z'))
})

it('is not live without a connection', async () => {
  counts = LIVE
  const { result } = await open(POLLING)
  expect(result.current.live).toBe(true)
  reachable = false
  await seconds(1)
  expect(result.current.live).toBe(null)
})

it('says how soon changes appear', () => {
  const words = (realtime: RealtimeState, live: boolean | null) => {
    const following = { live, lastPoll: new Date('2026-01-06T09:00:00Z'), synced: null }
    return liveness(realtime, following, 15, { ...formats('en', 'PHP'), time: () => '9:00' })
  }
  expect(words(REALTIME, true)).toMatchObject({ state: 'live', text: 'Live' })
  expect(words(POLLING, true)).toMatchObject({ state: 'live', text: 'Live' })
  expect(words(POLLING, true).why).toMatch(/Realtime is switched off/)
  expect(words(REALTIME, false)).toMatchObject({ state: 'stopped', text: 'Not live' })
  expect(words(POLLING, false).why).toMatch(/since 9:00/)
  expect(words(REALTIME, null)).toMatchObject({ state: 'realtime', text: 'Realtime' })
  expect(words(POLLING, null)).toMatchObject({ state: 'polling', text: 'Polling, 15 s' })
})

// @vitest-environment jsdom
import { QueryObserver } from '@tanstack/react-query'
import { afterEach, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'

import { createQueryClient } from '../src/lib/queries'
import { CONNECTING, watchChanges, type RealtimeState } from '../src/lib/realtime'
import { createScout, type Scout } from '../src/lib/supabase'
import { Phoenix, type Script } from './phoenix'

// Node's own WebSocket, as in a browser: jsdom hides it.
vi.stubGlobal('WebSocket', WebSocket)

const undo: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const action of undo.splice(0).reverse()) await action()
})

interface Options {
  pollSeconds?: number
  realtime?: boolean
  restMs?: number
  read?: () => Promise<number>
  prepare?: (scout: Scout) => void
}

/** Watches a scripted server, with one query on the screen: `read` counts its requests. */
async function watch(script: Script | null, options: Options = {}) {
  const { read = () => Promise.resolve(1), prepare, ...rest } = options
  const phoenix = script === null ? null : await Phoenix.start(script)
  if (phoenix) undo.push(() => phoenix.stop())
  const url = phoenix?.url ?? 'http://127.0.0.1:9'
  const scout = createScout({ supabaseUrl: url, supabaseKey: 'anon-key' }, 'the-users-token')
  const client = createQueryClient()
  const reading = vi.fn(read)
  const observer = new QueryObserver(client, { queryKey: ['metrics'], queryFn: reading })
  undo.push(observer.subscribe(() => undefined))
  await vi.waitFor(() => expect(reading).toHaveBeenCalledTimes(1))
  const page = { state: CONNECTING, read: reading, phoenix }
  const settings = { pollSeconds: 600, realtime: true, gatherMs: 20, restMs: 0, ...rest }
  prepare?.(scout)
  const onState = (state: RealtimeState) => (page.state = state)
  undo.push(watchChanges(scout, client, settings, onState))
  return page
}
type Watched = Awaited<ReturnType<typeof watch>>

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const polling = (page: Watched, reason: RegExp) =>
  vi.waitFor(
    () => {
      expect(page.state.mode).toBe('polling')
      expect(page.state.reason).toMatch(reason)
    },
    { timeout: 5000 },
  )
/** Waits for the subscription and for the refetch that follows it. */
const subscribed = async (page: Watched) => {
  await vi.waitFor(() => expect(page.state.mode).toBe('realtime'), { timeout: 5000 })
  await vi.waitFor(() => expect(page.read).toHaveBeenCalledTimes(2))
  page.read.mockClear()
}

it('subscribes to the table as the user, and refetches after changes', async () => {
  const page = await watch('subscribes')
  // Rows may have changed while the page was subscribing.
  await subscribed(page)
  const [, , , , payload] = page.phoenix?.joins[0] ?? []
  const change = { event: '*', schema: 'ipai', table: 'ipai_sample_metrics' }
  expect(payload).toMatchObject({
    access_token: 'the-users-token',
    config: { postgres_changes: [change] },
  })
  for (const type of ['INSERT', 'UPDATE', 'DELETE'] as const) {
    page.read.mockClear()
    page.phoenix?.change(type, { id: 1 })
    await vi.waitFor(() => expect(page.read).toHaveBeenCalledTimes(1))
  }
})

it('refetches once after many changes', async () => {
  const page = await watch('subscribes')
  await subscribed(page)
  for (let id = 0; id < 500; id++) page.phoenix?.change('UPDATE', { id })
  await vi.waitFor(() => expect(page.read).toHaveBeenCalled())
  await pause(200)
  expect(page.read.mock.calls.length).toBeLessThan(10)
})

it('rests between refetches while changes keep coming', async () => {
  const page = await watch('subscribes', { restMs: 400 })
  await subscribed(page)
  const began = Date.now()
  while (Date.now() - began < 1000) {
    page.phoenix?.change('UPDATE', { id: 1 })
    await pause(10)
  }
  // At 400 and 800 ms, and not every 20 ms.
  const before = page.read.mock.calls.length
  expect(before).toBeGreaterThan(1)
  expect(before).toBeLessThan(5)
  // The last changes are read, too.
  await vi.waitFor(() => expect(page.read.mock.calls.length).toBe(before + 1))
})

it('repeats a request that was under way during a change', async () => {
  const answers: (() => void)[] = []
  const read = () => new Promise<number>((resolve) => answers.push(() => resolve(1)))
  const page = await watch('subscribes', { read })
  await vi.waitFor(() => expect(page.state.mode).toBe('realtime'), { timeout: 5000 })
  await pause(100)
  // The first request is neither cancelled nor doubled.
  expect(page.read).toHaveBeenCalledTimes(1)
  answers[0]?.()
  await vi.waitFor(() => expect(page.read).toHaveBeenCalledTimes(2))
  answers[1]?.()
  await pause(100)
  expect(page.read).toHaveBeenCalledTimes(2)
})

it('does not refetch for a hidden page', async () => {
  const page = await watch('subscribes')
  await subscribed(page)
  vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden')
  page.phoenix?.change('UPDATE', { id: 1 })
  await pause(200)
  expect(page.read).not.toHaveBeenCalled()
})

it('subscribes again after the server has closed the channel', async () => {
  const page = await watch('subscribes', { pollSeconds: 0.2 })
  await subscribed(page)
  page.phoenix?.close()
  await polling(page, /cannot be reached/)
  await vi.waitFor(() => expect(page.state.mode).toBe('realtime'), { timeout: 5000 })
  expect(page.phoenix?.joins).toHaveLength(2)
})

it('polls while the token is unavailable, then subscribes', async () => {
  const page = await watch('subscribes', {
    pollSeconds: 0.1,
    prepare: (scout) => {
      const failure = new Error('the session cannot be renewed')
      vi.spyOn(scout.realtime, 'setAuth').mockRejectedValueOnce(failure)
    },
  })
  await polling(page, /cannot be renewed/)
  await subscribed(page)
  expect(page.phoenix?.joins).toHaveLength(1)
})

it('does not subscribe if it ends before the token is known', async () => {
  const page = await watch('subscribes')
  await undo.pop()?.()
  await pause(300)
  expect(page.phoenix?.joins).toEqual([])
})

it('subscribes once when React starts the effect twice', async () => {
  const { phoenix } = await watch('subscribes', { realtime: false })
  const supabaseUrl = phoenix?.url ?? ''
  const scout = createScout({ supabaseUrl, supabaseKey: 'anon-key' }, 'the-users-token')
  const states = vi.fn()
  const start = () =>
    watchChanges(scout, createQueryClient(), { pollSeconds: 600, realtime: true }, states)
  start()()
  undo.push(start())
  await vi.waitFor(() => expect(states).toHaveBeenCalledWith({ mode: 'realtime', reason: '' }))
  await pause(200)
  expect(phoenix?.joins).toHaveLength(1)
})

it('keeps polling until the server confirms that it sends changes', async () => {
  const page = await watch('never confirms changes')
  await vi.waitFor(() => expect(page.phoenix?.joins).toHaveLength(1))
  await pause(200)
  expect(page.state).toEqual(CONNECTING)
})

it('polls with the reason if the server refuses the subscription', async () => {
  await polling(await watch('refuses to join'), /Unauthorized/)
})

it('polls with the reason if the table is not published', async () => {
  await polling(await watch('cannot read the table'), /Unable to subscribe/)
})

it('polls if there is no Realtime server', async () => {
  await polling(await watch(null), /^(?!Connecting)/)
})

it('polls when the connection is lost, and resumes Realtime when it returns', async () => {
  const page = await watch('subscribes')
  await subscribed(page)
  const port = page.phoenix?.port ?? 0
  await page.phoenix?.stop()
  await polling(page, /./)
  const again = await Phoenix.start('subscribes', port)
  undo.push(() => again.stop())
  await vi.waitFor(() => expect(page.state.mode).toBe('realtime'), { timeout: 20_000 })
}, 30_000)

it('does not connect if Realtime is switched off', async () => {
  const page = await watch('subscribes', { realtime: false })
  expect(page.state).toEqual({ mode: 'polling', reason: 'Realtime is switched off' })
  await pause(200)
  expect(page.phoenix?.joins).toEqual([])
})

it('does not refetch after it has ended', async () => {
  const page = await watch('subscribes')
  await subscribed(page)
  page.phoenix?.change('UPDATE', { id: 1 })
  await undo.pop()?.()
  await pause(200)
  expect(page.read).not.toHaveBeenCalled()
})

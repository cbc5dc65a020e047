// @vitest-environment jsdom
import { afterEach, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'

import { Live } from '../src/lib/live'
import { createScout, type Scout } from '../src/lib/supabase'
import { Phoenix, type Script } from './phoenix'

// Node's own, as in a browser: jsdom's hides it.
vi.stubGlobal('WebSocket', WebSocket)

const undo: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const action of undo.splice(0).reverse()) await action()
})

/** A page's Live at a server that follows the script, and how often it said that it is time to read. */
async function live(
  script: Script | null,
  options: {
    pollSeconds?: number
    sweepSeconds?: number
    realtime?: boolean
    restMs?: number
  } = {},
  prepare?: (scout: Scout) => void,
) {
  const phoenix = script === null ? null : await Phoenix.start(script)
  if (phoenix) undo.push(() => phoenix.stop())
  const scout = createScout(
    { supabaseUrl: phoenix?.url ?? 'http://127.0.0.1:9', supabaseKey: 'anon-key' },
    'the-users-token',
  )
  prepare?.(scout)
  const live = new Live(scout, {
    pollSeconds: 600,
    realtime: true,
    gatherMs: 20,
    restMs: 0,
    ...options,
  })
  const told = vi.fn()
  live.onChange(told)
  undo.push(live.start())
  return { live, told, phoenix }
}

const realtime = (live: Live) =>
  vi.waitFor(() => expect(live.getState().mode).toBe('realtime'), { timeout: 5000 })
const polling = (live: Live, reason: RegExp) =>
  vi.waitFor(
    () =>
      expect(live.getState()).toEqual({
        mode: 'polling',
        reason: expect.stringMatching(reason) as string,
      }),
    { timeout: 5000 },
  )

it('subscribes to the table as the user, and tells what changes', async () => {
  const { live: page, told, phoenix } = await live('subscribes')
  await realtime(page)
  const [, , , , payload] = phoenix?.joins[0] ?? []
  expect(payload).toMatchObject({
    access_token: 'the-users-token',
    config: { postgres_changes: [{ event: '*', schema: 'ipai', table: 'ipai_sample_metrics' }] },
  })
  // What changed while it was being subscribed.
  await vi.waitFor(() => expect(told).toHaveBeenCalledTimes(1))
  for (const type of ['INSERT', 'UPDATE', 'DELETE'] as const) {
    told.mockClear()
    phoenix?.change(type, { id: 1 })
    await vi.waitFor(() => expect(told).toHaveBeenCalledTimes(1))
  }
})

it('tells many changes at once', async () => {
  const { live: page, told, phoenix } = await live('subscribes')
  await realtime(page)
  await vi.waitFor(() => expect(told).toHaveBeenCalledTimes(1))
  told.mockClear()
  for (let id = 0; id < 500; id++) phoenix?.change('UPDATE', { id })
  await vi.waitFor(() => expect(told).toHaveBeenCalled())
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(told.mock.calls.length).toBeLessThan(10)
})

it('tells seldom while changes come all the time', async () => {
  const { live: page, told, phoenix } = await live('subscribes', { restMs: 400 })
  await realtime(page)
  await vi.waitFor(() => expect(told).toHaveBeenCalledTimes(1))
  const began = Date.now()
  while (Date.now() - began < 1000) {
    phoenix?.change('UPDATE', { id: 1 })
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  // At 400 and 800 ms, and not each 20 ms.
  expect(told.mock.calls.length).toBeGreaterThan(1)
  expect(told.mock.calls.length).toBeLessThan(5)
  // The last changes are not forgotten.
  const before = told.mock.calls.length
  await vi.waitFor(() => expect(told.mock.calls.length).toBe(before + 1))
})

it('tries again soon what could not be read while Realtime tells', async () => {
  const { live: page, told } = await live('subscribes', { pollSeconds: 0.2 })
  await realtime(page)
  await vi.waitFor(() => expect(told).toHaveBeenCalledTimes(1))
  await new Promise((resolve) => setTimeout(resolve, 400))
  expect(told).toHaveBeenCalledTimes(1)
  page.failed()
  page.failed()
  await vi.waitFor(() => expect(told).toHaveBeenCalledTimes(2))
  await new Promise((resolve) => setTimeout(resolve, 400))
  expect(told).toHaveBeenCalledTimes(2)
})

it('looks as soon as the browser is online again', async () => {
  const { told } = await live(null, { realtime: false })
  globalThis.dispatchEvent(new Event('online'))
  expect(told).toHaveBeenCalledTimes(1)
  await undo.pop()?.()
  globalThis.dispatchEvent(new Event('online'))
  expect(told).toHaveBeenCalledTimes(1)
})

it('subscribes anew when the server has closed the channel', async () => {
  const { live: page, phoenix } = await live('subscribes', { pollSeconds: 0.2 })
  await realtime(page)
  phoenix?.close()
  await polling(page, /cannot be reached/)
  await realtime(page)
  expect(phoenix?.joins).toHaveLength(2)
})

it('polls where the token cannot be had, and subscribes once it can', async () => {
  const {
    live: page,
    told,
    phoenix,
  } = await live('subscribes', { pollSeconds: 0.1 }, (scout) => {
    vi.spyOn(scout.realtime, 'setAuth').mockRejectedValueOnce(
      new Error('the sign-in cannot be renewed'),
    )
  })
  await polling(page, /cannot be renewed/)
  await vi.waitFor(() => expect(told).toHaveBeenCalled())
  await realtime(page)
  expect(phoenix?.joins).toHaveLength(1)
})

it('subscribes to nothing where it has ended before the token is known', async () => {
  const phoenix = await Phoenix.start('subscribes')
  undo.push(() => phoenix.stop())
  const scout = createScout(
    { supabaseUrl: phoenix.url, supabaseKey: 'anon-key' },
    'the-users-token',
  )
  new Live(scout, { pollSeconds: 600, realtime: true }).start()()
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(phoenix.joins).toEqual([])
})

it('that is started twice, as React does to find mistakes, subscribes once', async () => {
  const { live: page, phoenix } = await live('subscribes', { realtime: false })
  const scout = createScout(
    { supabaseUrl: phoenix?.url ?? '', supabaseKey: 'anon-key' },
    'the-users-token',
  )
  const twice = new Live(scout, { pollSeconds: 600, realtime: true, gatherMs: 20 })
  twice.start()()
  undo.push(twice.start())
  await realtime(twice)
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(phoenix?.joins).toHaveLength(1)
  expect(page.getState().mode).toBe('polling')
})

it('polls until the server says that changes come, although it has joined', async () => {
  const { live: page, told } = await live('never says that changes come', { pollSeconds: 0.05 })
  await vi.waitFor(() => expect(told.mock.calls.length).toBeGreaterThan(3))
  expect(page.getState().mode).toBe('polling')
})

it('polls where it may not subscribe, and says why', async () => {
  const { live: page, told } = await live('refuses to join', { pollSeconds: 0.05 })
  await polling(page, /Unauthorized/)
  told.mockClear()
  await vi.waitFor(() => expect(told).toHaveBeenCalled())
})

it('polls where the table is not published, and says why', async () => {
  const { live: page } = await live('cannot read the table')
  await polling(page, /Unable to subscribe/)
})

it('polls where there is no Realtime', async () => {
  const { live: page, told } = await live(null, { pollSeconds: 0.05 })
  await vi.waitFor(() => expect(told.mock.calls.length).toBeGreaterThan(3))
  expect(page.getState().mode).toBe('polling')
})

it('polls when the connection is lost, and goes back to Realtime when it returns', async () => {
  const { live: page, told, phoenix } = await live('subscribes', { pollSeconds: 0.05 })
  await realtime(page)
  const port = phoenix?.port ?? 0
  await phoenix?.stop()
  await polling(page, /./)
  told.mockClear()
  await vi.waitFor(() => expect(told).toHaveBeenCalled())
  const again = await Phoenix.start('subscribes', port)
  undo.push(() => again.stop())
  await vi.waitFor(() => expect(page.getState().mode).toBe('realtime'), { timeout: 20_000 })
}, 30_000)

it('also looks from time to time while Realtime tells: who may no longer see a row is told nothing', async () => {
  const { live: page, told } = await live('subscribes', { sweepSeconds: 0.1 })
  await realtime(page)
  told.mockClear()
  await vi.waitFor(() => expect(told.mock.calls.length).toBeGreaterThan(2))
})

it('leaves a page alone that nobody sees, until somebody looks', async () => {
  const visibility = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden')
  const { told } = await live(null, { pollSeconds: 0.03, realtime: false })
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(told).not.toHaveBeenCalled()
  visibility.mockReturnValue('visible')
  document.dispatchEvent(new Event('visibilitychange'))
  expect(told).toHaveBeenCalledTimes(1)
})

it('says that Realtime is switched off, and asks nobody', async () => {
  const { live: page, phoenix } = await live('subscribes', { realtime: false })
  expect(page.getState()).toEqual({ mode: 'polling', reason: 'Realtime is switched off' })
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(phoenix?.joins).toEqual([])
})

it('ends', async () => {
  const { told } = await live(null, { pollSeconds: 0.03, realtime: false })
  await vi.waitFor(() => expect(told).toHaveBeenCalled())
  await undo.pop()?.()
  told.mockClear()
  await new Promise((resolve) => setTimeout(resolve, 150))
  expect(told).not.toHaveBeenCalled()
})

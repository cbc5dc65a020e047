// @vitest-environment jsdom
import { act, renderHook, waitFor } from '@testing-library/react'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ReactNode } from 'react'
import { afterEach, expect, it, vi } from 'vitest'

import { readAll, useSampleMetrics } from '../src/hooks/useSampleMetrics'
import { ScoutReact, useScout } from '../src/hooks/useScout'
import { useSearch } from '../src/hooks/useSearch'
import { complete } from '../src/lib/config'
import { formats } from '../src/lib/format'
import { Live } from '../src/lib/live'
import { createScout } from '../src/lib/supabase'
import type { Database } from '../src/types/database'
import type { SampleMetric, Unit } from '../src/types/metric'

type Row = Database['ipai']['Tables']['ipai_sample_metrics']['Row']
/** The data contract and the database have the same columns, of the same types but for the unit. That this compiles is the test. */
const contract = (row: Row): SampleMetric => ({ ...row, unit: row.unit as Unit })
const table = (metric: SampleMetric): Row => metric

const metric: SampleMetric = contract(
  table({
    ...{
      id: 1,
      odoo_id: 11,
      name: 'Sales',
      code: 'SALES',
      date: null,
      brand_id: 7,
      store_id: null,
      value: 1,
      unit: 'amount',
    },
    ...{
      is_alert: false,
      notes: null,
      active: true,
      inserted_at: '2026-01-06T00:00:00Z',
      updated_at: '2026-01-06T00:00:00Z',
    },
  }),
)

let server: Server | null = null
let stop: (() => void) | null = null
afterEach(() => {
  stop?.()
  stop = null
  server?.closeAllConnections()
  server?.close()
})

/** A page's context over a server that answers what the test says; tests/dashboard has a real PostgREST. */
async function page(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  answerSeconds?: number,
  started = false,
) {
  server = createServer((request, response) => {
    response.setHeader('Access-Control-Allow-Origin', '*')
    response.setHeader('Access-Control-Allow-Headers', '*')
    response.setHeader('Access-Control-Expose-Headers', '*')
    if (request.method === 'OPTIONS') response.end()
    else answer(request, response)
  })
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const config = complete({ supabaseUrl: url, supabaseKey: 'sb_publishable_x' }, {})
  const scout = createScout(config, 'token', answerSeconds)
  const live = new Live(scout, { pollSeconds: started ? 0.2 : 3600, realtime: false, gatherMs: 1 })
  if (started) stop = live.start()
  const context = { scout, live, config, formats: formats('en', 'PHP') }
  return ({ children }: { children: ReactNode }) => (
    <ScoutReact value={context}>{children}</ScoutReact>
  )
}

const rows = (response: ServerResponse, found: SampleMetric[], total = found.length) => {
  response.setHeader('Content-Type', 'application/json')
  response.setHeader(
    'Content-Range',
    found.length ? `0-${found.length - 1}/${total}` : `*/${total}`,
  )
  response.end(JSON.stringify(found))
}

it('reads the newest first and what has no date last, no more than the API gives, as the user', async () => {
  const asked: string[] = []
  const wrapper = await page((request, response) => {
    asked.push(
      `${request.headers.authorization ?? ''} ${request.headers['accept-profile'] as string} ${decodeURIComponent(request.url ?? '')}`,
    )
    rows(response, [metric], 41)
  })
  const { result } = renderHook(() => useSampleMetrics('SALES'), { wrapper })
  expect(result.current).toMatchObject({ data: null, loading: true, error: null })
  await waitFor(() =>
    expect(result.current).toMatchObject({
      data: [metric],
      count: 41,
      loading: false,
      error: null,
    }),
  )
  expect(asked).toEqual([
    'Bearer token ipai /rest/v1/ipai_sample_metrics?select=*&active=eq.true&code=eq.SALES&order=date.desc.nullslast,id.asc&offset=0&limit=1000',
  ])
})

it('forgets an answer that is no longer wanted', async () => {
  const late: (() => void)[] = []
  const wrapper = await page((request, response) => {
    const code = /code=eq\.(\w+)/.exec(request.url ?? '')?.[1] ?? ''
    if (code === 'SLOW') late.push(() => rows(response, [{ ...metric, code }]))
    else rows(response, [{ ...metric, code }])
  })
  const { result, rerender } = renderHook(({ code }) => useSampleMetrics(code), {
    wrapper,
    initialProps: { code: 'SLOW' },
  })
  await waitFor(() => expect(late).toHaveLength(1))
  rerender({ code: 'QUICK' })
  await waitFor(() => expect(result.current.data?.[0]?.code).toBe('QUICK'))
  late[0]?.()
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(result.current).toMatchObject({ data: [{ code: 'QUICK' }], loading: false, error: null })
})

it('keeps what it has when reading anew fails, says why, and tries again when told', async () => {
  let broken = false
  const wrapper = await page((_request, response) => {
    if (!broken) {
      rows(response, [metric])
      return
    }
    response.statusCode = 403
    response.setHeader('Content-Type', 'application/json')
    response.end(
      JSON.stringify({
        code: '42501',
        message: 'permission denied for table ipai_sample_metrics',
        details: null,
        hint: null,
      }),
    )
  })
  const { result } = renderHook(() => useSampleMetrics('SALES'), { wrapper })
  await waitFor(() => expect(result.current.data).toEqual([metric]))
  broken = true
  result.current.retry()
  await waitFor(() => expect(result.current.error?.title).toBe('You may not see this'))
  expect(result.current).toMatchObject({ data: [metric], loading: false })
  broken = false
  result.current.retry()
  await waitFor(() =>
    expect(result.current).toMatchObject({ data: [metric], error: null, loading: false }),
  )
})

it('takes a page beyond the last for an empty one', async () => {
  const wrapper = await page((_request, response) => {
    response.statusCode = 416
    response.setHeader('Content-Type', 'application/json')
    response.end(JSON.stringify({ code: 'PGRST103', message: 'Requested range not satisfiable' }))
  })
  const { result } = renderHook(() => useSampleMetrics('SALES', {}, { page: 9, size: 25 }), {
    wrapper,
  })
  await waitFor(() =>
    expect(result.current).toMatchObject({ data: [], error: null, loading: false }),
  )
})

it('gives up waiting for an answer that does not come, says so, and asks again', async () => {
  let asked = 0
  const wrapper = await page(
    (_request, response) => {
      asked++
      // The first is never answered, of the second only the beginning comes.
      if (asked === 1) return
      if (asked === 2) {
        response.setHeader('Content-Type', 'application/json')
        response.write('[')
        return
      }
      rows(response, [metric])
    },
    0.3,
    true,
  )
  const problems = new Set<string | undefined>()
  const { result } = renderHook(
    () => {
      const query = useSampleMetrics('SALES')
      problems.add(query.error?.title)
      return query
    },
    { wrapper },
  )
  await waitFor(
    () => expect(result.current).toMatchObject({ data: [metric], error: null, loading: false }),
    { timeout: 5000 },
  )
  expect(asked).toBeGreaterThanOrEqual(3)
  expect(problems).toContain('This took too long')
})

it('reads nothing more for a download that nobody waits for', async () => {
  let asked = 0
  const leaving = new AbortController()
  const wrapper = await page((_request, response) => {
    asked++
    rows(response, [{ ...metric, id: asked }])
    if (asked === 2) leaving.abort()
  })
  const { result } = renderHook(() => useScout(), { wrapper })
  await expect(readAll(result.current.scout, 'SALES', {}, 50_000, leaving.signal)).rejects.toThrow()
  expect(asked).toBe(2)
})

it('tells Live that reading has failed', async () => {
  const wrapper = await page((_request, response) => {
    response.statusCode = 500
    response.end()
  })
  const { result } = renderHook(
    () => ({ live: useScout().live, query: useSampleMetrics('SALES') }),
    { wrapper },
  )
  const failed = vi.spyOn(result.current.live, 'failed')
  await waitFor(() => expect(result.current.query.error?.title).toBe('The server has a problem'))
  expect(failed).toHaveBeenCalled()
})

it('looks for what is typed once one pauses', async () => {
  const look = vi.fn()
  const { result, rerender } = renderHook(({ wanted }) => useSearch(wanted, look), {
    initialProps: { wanted: '' },
  })
  for (const text of ['s', 'st', 'sto ']) act(() => result.current[1](text))
  expect(look).not.toHaveBeenCalled()
  await waitFor(() => expect(look).toHaveBeenCalledTimes(1))
  expect(look).toHaveBeenCalledWith('sto')
  rerender({ wanted: 'sto' })
  // A word goes on.
  expect(result.current[0]).toBe('sto ')
  // From elsewhere, as when the address changes.
  rerender({ wanted: '' })
  expect(result.current[0]).toBe('')
})

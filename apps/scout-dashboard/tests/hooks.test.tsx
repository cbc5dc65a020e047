// @vitest-environment jsdom
import { act, cleanup, renderHook, waitFor } from '@testing-library/react'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it, vi } from 'vitest'

import { readAll, useSampleMetrics } from '../src/hooks/useSampleMetrics'
import { useScout } from '../src/hooks/useScout'
import { useSearch } from '../src/hooks/useSearch'
import type { Database } from '../src/types/database'
import type { SampleMetric, Unit } from '../src/types/metric'
import { pageWrapper } from './page'

type Row = Database['ipai']['Tables']['ipai_sample_metrics']['Row']
/** The type check is the test: SampleMetric has the columns of the table, with a narrower unit. */
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
afterEach(() => {
  cleanup()
  server?.closeAllConnections()
  server?.close()
})

/** A page whose server answers as the test says; tests/dashboard uses a real PostgREST. */
async function page(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  settings: { answerSeconds?: number; pollSeconds?: number } = {},
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
  return pageWrapper({ supabaseUrl: url, ...settings })
}

const rows = (response: ServerResponse, found: SampleMetric[], total = found.length) => {
  response.setHeader('Content-Type', 'application/json')
  response.setHeader(
    'Content-Range',
    found.length ? `0-${found.length - 1}/${total}` : `*/${total}`,
  )
  response.end(JSON.stringify(found))
}

it('requests the newest rows first, as the user', async () => {
  const asked: unknown[] = []
  const wrapper = await page(({ headers, url }, response) => {
    asked.push([headers.authorization, headers['accept-profile'], decodeURIComponent(url ?? '')])
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
  const filter = 'select=*&active=eq.true&code=eq.SALES'
  const order = 'order=date.desc.nullslast,id.asc&offset=0&limit=1000'
  expect(asked).toEqual([
    ['Bearer token', 'ipai', `/rest/v1/ipai_sample_metrics?${filter}&${order}`],
  ])
})

it('discards an answer that is no longer needed', async () => {
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

it('keeps the rows when a refetch fails, until a retry', async () => {
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
  await waitFor(() => expect(result.current.error?.title).toBe('Access denied'))
  expect(result.current).toMatchObject({ data: [metric], loading: false })
  broken = false
  result.current.retry()
  await waitFor(() =>
    expect(result.current).toMatchObject({ data: [metric], error: null, loading: false }),
  )
})

it('treats a page beyond the last as empty', async () => {
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

it('times out, reports it, and retries', async () => {
  let asked = 0
  const wrapper = await page(
    (_request, response) => {
      asked++
      // The first request gets no answer, the second only its beginning.
      if (asked === 1) return
      if (asked === 2) {
        response.setHeader('Content-Type', 'application/json')
        response.write('[')
        return
      }
      rows(response, [metric])
    },
    { answerSeconds: 0.3, pollSeconds: 0.2 },
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
  expect(problems).toContain('The request timed out')
})

it('stops a download that is aborted', async () => {
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

it('reports an error of the server', async () => {
  const wrapper = await page((_request, response) => {
    response.statusCode = 500
    response.end()
  })
  const { result } = renderHook(() => useSampleMetrics('SALES'), { wrapper })
  await waitFor(() => expect(result.current.error?.title).toBe('The server reported an error'))
})

it('searches when the user stops typing', async () => {
  const search = vi.fn()
  const { result, rerender } = renderHook(({ wanted }) => useSearch(wanted, search), {
    initialProps: { wanted: '' },
  })
  for (const text of ['s', 'st', 'sto ']) act(() => result.current[1](text))
  expect(search).not.toHaveBeenCalled()
  await waitFor(() => expect(search).toHaveBeenCalledTimes(1))
  expect(search).toHaveBeenCalledWith('sto')
  rerender({ wanted: 'sto' })
  // The space begins the next word.
  expect(result.current[0]).toBe('sto ')
  // The address has changed.
  rerender({ wanted: '' })
  expect(result.current[0]).toBe('')
})

import { unwrap } from '../lib/errors'
import type { Scout } from '../lib/supabase'
import type { SampleMetric } from '../types/metric'
import { useQuery, type Query } from './useQuery'
import { useScout } from './useScout'

export type SortColumn = 'date' | 'name' | 'value'

/** Which rows, and in which order. */
export interface MetricFilter {
  unit?: string | null
  brand?: number | null
  store?: number | null
  since?: string | null
  until?: string | null
  alertsOnly?: boolean
  /** Part of a code. */
  search?: string
  sort?: { column: SortColumn; ascending: boolean }
}

export interface Page {
  page: number
  size: number
}

export interface SampleMetrics extends Query<SampleMetric[]> {
  /** Rows on all pages, of those that the user may see. */
  count: number | null
}

/** One answer of the API has no more. */
const MOST_ROWS = 1000

/**
 * Metrics that the user may see, live: of one code, or of all. Newest first and undated ones last, unless sorted otherwise.
 *
 * Cancels what it no longer needs, and reads again when the table changes.
 */
export function useSampleMetrics(
  code?: string | null,
  filter: MetricFilter = {},
  page: Page = { page: 0, size: MOST_ROWS },
): SampleMetrics {
  const { scout } = useScout()
  const query = useQuery(JSON.stringify(['metrics', code, filter, page]), async (signal) => {
    const first = page.page * page.size
    const answer = await metrics(scout, code, filter)
      .range(first, first + page.size - 1)
      .abortSignal(signal)
      .retry(false)
    // The rows got fewer, and this page is beyond the last.
    if (answer.error?.code === 'PGRST103') return { rows: [], count: null }
    return { rows: unwrap(answer) as SampleMetric[], count: answer.count }
  })
  return { ...query, data: query.data?.rows ?? null, count: query.data?.count ?? null }
}

function metrics(scout: Scout, code: string | null | undefined, filter: MetricFilter) {
  const { column, ascending } = filter.sort ?? { column: 'date', ascending: false }
  // `id` ends the order: else a row may come on two pages, and another on none.
  return filtered(scout, code, filter, 'exact')
    .order(column, { ascending, nullsFirst: false })
    .order('id')
}

function filtered(
  scout: Scout,
  code: string | null | undefined,
  filter: MetricFilter,
  count?: 'exact',
) {
  let rows = scout
    .from('ipai_sample_metrics')
    .select('*', count ? { count } : {})
    .eq('active', true)
  if (code) rows = rows.eq('code', code)
  if (filter.unit) rows = rows.eq('unit', filter.unit)
  if (filter.brand) rows = rows.eq('brand_id', filter.brand)
  if (filter.store) rows = rows.eq('store_id', filter.store)
  if (filter.since) rows = rows.gte('date', filter.since)
  if (filter.until) rows = rows.lte('date', filter.until)
  if (filter.search)
    rows = rows.ilike('code', `%${filter.search.replaceAll(/[\\%_*]/g, String.raw`\$&`)}%`)
  // `is.true` would not use the index of alerts before PostgreSQL 17.
  if (filter.alertsOnly) rows = rows.eq('is_alert', true)
  return rows
}

/** All rows of a metric, by id, a thousand a request; at most `most`. Throws when it is aborted. */
export async function readAll(
  scout: Scout,
  code: string,
  filter: MetricFilter,
  most: number,
  signal: AbortSignal,
): Promise<SampleMetric[]> {
  const rows: SampleMetric[] = []
  while (rows.length < most) {
    const answer = await filtered(scout, code, filter)
      .gt('id', rows.at(-1)?.id ?? 0)
      .order('id')
      .limit(Math.min(MOST_ROWS, most - rows.length))
      .abortSignal(signal)
    signal.throwIfAborted()
    const more = unwrap(answer) as SampleMetric[]
    if (more.length === 0) break
    rows.push(...more)
  }
  return rows
}

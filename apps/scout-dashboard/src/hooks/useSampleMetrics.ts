import { unwrap } from '../lib/errors'
import type { Scout } from '../lib/supabase'
import type { SampleMetric } from '../types/metric'
import { useLiveQuery, type LiveQuery } from './useLiveQuery'
import { useScout } from './useScout'

export type SortColumn = 'date' | 'name' | 'value'

/** Selects and orders rows. */
export interface MetricFilter {
  unit?: string | null
  brand?: number | null
  store?: number | null
  since?: string | null
  until?: string | null
  flaggedOnly?: boolean
  /** Part of a code. */
  search?: string
  sort?: { column: SortColumn; ascending: boolean }
}

export interface Page {
  page: number
  size: number
}

export interface SampleMetrics extends LiveQuery<SampleMetric[]> {
  /** Rows on all pages that the user can see. */
  count: number | null
}

/** The API returns no more rows in one answer. */
const MAX_ROWS = 1000

/**
 * The rows that the user can see, of one metric or of all.
 *
 * Unless sorted otherwise, the newest come first and rows without a date last.
 */
export function useSampleMetrics(
  code?: string | null,
  filter: MetricFilter = {},
  page: Page = { page: 0, size: MAX_ROWS },
): SampleMetrics {
  const { scout } = useScout()
  const query = useLiveQuery(['metrics', code, filter, page], async (signal) => {
    const first = page.page * page.size
    const answer = await metrics(scout, code, filter)
      .range(first, first + page.size - 1)
      .abortSignal(signal)
      .retry(false)
    // Rows were deleted, and this page lies after the last one.
    if (answer.error?.code === 'PGRST103') return { rows: [], count: null }
    return { rows: unwrap(answer) as SampleMetric[], count: answer.count }
  })
  return { ...query, data: query.data?.rows ?? null, count: query.data?.count ?? null }
}

function metrics(scout: Scout, code: string | null | undefined, filter: MetricFilter) {
  const { column, ascending } = filter.sort ?? { column: 'date', ascending: false }
  // Equal values are ordered by `id`: else a row may appear on two pages, and another on none.
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
  if (filter.search) {
    rows = rows.ilike('code', `%${filter.search.replaceAll(/[\\%_*]/g, String.raw`\$&`)}%`)
  }
  // `is.true` does not use the partial index before PostgreSQL 17.
  if (filter.flaggedOnly) rows = rows.eq('is_alert', true)
  return rows
}

/** All rows of a metric by id, at most `limit`, in requests of a thousand. Throws when aborted. */
export async function readAll(
  scout: Scout,
  code: string,
  filter: MetricFilter,
  limit: number,
  signal: AbortSignal,
): Promise<SampleMetric[]> {
  const rows: SampleMetric[] = []
  while (rows.length < limit) {
    const answer = await filtered(scout, code, filter)
      .gt('id', rows.at(-1)?.id ?? 0)
      .order('id')
      .limit(Math.min(MAX_ROWS, limit - rows.length))
      .abortSignal(signal)
    signal.throwIfAborted()
    const more = unwrap(answer) as SampleMetric[]
    if (more.length === 0) break
    rows.push(...more)
  }
  return rows
}

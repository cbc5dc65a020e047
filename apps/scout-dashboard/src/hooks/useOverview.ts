import { unwrap } from '../lib/errors'
import type { Database } from '../types/database'
import type { Unit } from '../types/metric'
import { useLiveQuery, type LiveQuery } from './useLiveQuery'
import { useScout } from './useScout'

type Functions = Database['ipai']['Functions']
type Row<F extends keyof Functions> = Functions[F]['Returns'] extends (infer R)[] ? R : never
/** The generated types do not know which columns of a function may be null. */
type OrNull<R, K extends keyof R> = Omit<R, K> & { [N in K]: R[N] | null }

export type Card = OrNull<
  Row<'metrics_overview'>,
  'date' | 'previous_date' | 'previous_value' | 'newest_date'
> & { unit: Unit }
export type Point = Row<'metric_series'>
export type Facets = OrNull<Row<'metric_facets'>, 'first_date' | 'last_date'> & {
  unit: Unit
  units: Unit[]
}

/** One card for each metric, flagged metrics first, in one request. */
export function useOverview(
  search: string,
  flaggedOnly: boolean,
  cards: number,
): LiveQuery<Card[]> {
  const { scout } = useScout()
  return useLiveQuery(['overview', search, flaggedOnly, cards], async (signal) => {
    const args = { search, alerts_only: flaggedOnly, max_cards: cards }
    const asked = scout.rpc('metrics_overview', args, { get: true })
    return unwrap(await asked.abortSignal(signal).retry(false)) as Card[]
  })
}

export interface SeriesFilter {
  unit: string | null
  brand: number | null
  store: number | null
  since: string | null
  until: string | null
}

/** A metric over time: one point for each day. */
export function useSeries(code: string, filter: SeriesFilter): LiveQuery<Point[]> {
  const { scout } = useScout()
  return useLiveQuery(['series', code, filter], async (signal) => {
    const { unit, brand, store, since, until } = filter
    const args = {
      metric: code,
      max_points: 1000,
      ...(unit ? { of_unit: unit } : {}),
      ...(brand ? { brand } : {}),
      ...(store ? { store } : {}),
      ...(since ? { since } : {}),
      ...(until ? { until } : {}),
    }
    const asked = scout.rpc('metric_series', args, { get: true })
    return unwrap(await asked.abortSignal(signal).retry(false))
  })
}

/** The values that a metric can be filtered by; `data` is null if the user sees no row of it. */
export function useFacets(code: string): LiveQuery<Facets | null> {
  const { scout } = useScout()
  return useLiveQuery(['facets', code], async (signal) => {
    const asked = scout.rpc('metric_facets', { metric: code }, { get: true })
    return (unwrap(await asked.abortSignal(signal).retry(false)) as Facets[])[0] ?? null
  })
}

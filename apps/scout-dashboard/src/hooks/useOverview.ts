import { unwrap } from '../lib/errors'
import type { Database } from '../types/database'
import type { Unit } from '../types/metric'
import { useQuery, type Query } from './useQuery'
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

/** A card a metric, those with alerts first: one request. */
export function useOverview(search: string, alertsOnly: boolean, cards: number): Query<Card[]> {
  const { scout } = useScout()
  return useQuery(JSON.stringify(['overview', search, alertsOnly, cards]), async (signal) => {
    const args = { search, alerts_only: alertsOnly, max_cards: cards }
    return unwrap(
      await scout.rpc('metrics_overview', args, { get: true }).abortSignal(signal).retry(false),
    ) as Card[]
  })
}

export interface SeriesFilter {
  unit: string | null
  brand: number | null
  store: number | null
  since: string | null
  until: string | null
}

/** A metric over time: a point a day. */
export function useSeries(code: string, filter: SeriesFilter): Query<Point[]> {
  const { scout } = useScout()
  return useQuery(JSON.stringify(['series', code, filter]), async (signal) => {
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
    return unwrap(
      await scout.rpc('metric_series', args, { get: true }).abortSignal(signal).retry(false),
    )
  })
}

/** What a metric can be filtered by; `data` is null where the user sees none of it. */
export function useFacets(code: string): Query<Facets | null> {
  const { scout } = useScout()
  return useQuery(JSON.stringify(['facets', code]), async (signal) => {
    const asked = scout
      .rpc('metric_facets', { metric: code }, { get: true })
      .abortSignal(signal)
      .retry(false)
    return (unwrap(await asked) as Facets[])[0] ?? null
  })
}

import { RequestFailed, unwrap } from '../lib/errors'
import type { Database } from '../types/database'
import { useQuery, type Query } from './useQuery'
import { useScout } from './useScout'

type Views = Database['ipai']['Views']
export type Delta = Views['sync_count_delta']['Row']
export type SampleDelta = Views['sample_metrics_count_delta']['Row']
export type Status = Views['sync_status']['Row']
export type SyncAlert = Views['sync_alerts']['Row']

/** What a role may read of something. */
export type Seen<T> = { state: 'seen'; rows: T[] } | { state: 'forbidden' } | { state: 'missing' }

/** More mirrors than anybody looks through. */
const MOST = 200

/** An answer, where not being allowed and not being there are answers too. */
async function seen<T>(
  asked: PromiseLike<
    | { data: T[]; error: null }
    | { data: unknown; error: { message: string; code: string }; status: number }
  >,
): Promise<Seen<T>> {
  try {
    return { state: 'seen', rows: unwrap(await asked) }
  } catch (error) {
    if (error instanceof RequestFailed) {
      if (error.problem.code === '42501') return { state: 'forbidden' }
      if (['PGRST205', '42P01'].includes(error.problem.code)) return { state: 'missing' }
    }
    throw error
  }
}

/** How the mirror of the metrics compares with Odoo, as last counted. */
export function useFreshness(): Query<Seen<SampleDelta>> {
  const { scout } = useScout()
  return useQuery('freshness', (signal) =>
    seen(
      scout
        .from('sample_metrics_count_delta')
        .select('*')
        .limit(1)
        .abortSignal(signal)
        .retry(false),
    ),
  )
}

export interface Health {
  counts: Seen<Delta>
  status: Seen<Status>
  alerts: Seen<SyncAlert>
}

/** All mirrors, as far as the role may look. */
export function useHealth(): Query<Health> {
  const { scout } = useScout()
  return useQuery('health', async (signal) => {
    const [counts, status, alerts] = await Promise.all([
      seen(
        scout
          .from('sync_count_delta')
          .select('*')
          .order('mirror')
          .limit(MOST)
          .abortSignal(signal)
          .retry(false),
      ),
      seen(
        scout
          .from('sync_status')
          .select('*')
          .order('mirror')
          .limit(MOST)
          .abortSignal(signal)
          .retry(false),
      ),
      seen(
        scout
          .from('sync_alerts')
          .select('*')
          .order('severity')
          .order('since')
          .limit(MOST)
          .abortSignal(signal)
          .retry(false),
      ),
    ])
    return { counts, status, alerts }
  })
}

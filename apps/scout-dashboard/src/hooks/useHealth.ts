import { RequestFailed, unwrap } from '../lib/errors'
import type { Database } from '../types/database'
import { useLiveQuery, type LiveQuery } from './useLiveQuery'
import { useScout } from './useScout'

type Views = Database['ipai']['Views']
export type Delta = Views['sync_count_delta']['Row']
export type SampleDelta = Views['sample_metrics_count_delta']['Row']
export type Status = Views['sync_status']['Row']
export type SyncAlert = Views['sync_alerts']['Row']

/** The rows of a view, or why the role cannot read it. */
export type Visible<T> =
  { state: 'seen'; rows: T[] } | { state: 'forbidden' } | { state: 'missing' }

const MAX_MIRRORS = 200

type Answer<T> =
  | { data: T[]; error: null }
  | { data: unknown; error: { message: string; code: string }; status: number }

/** Awaits a request. A missing privilege or view is an answer here, and not an error. */
async function visible<T>(request: PromiseLike<Answer<T>>): Promise<Visible<T>> {
  try {
    return { state: 'seen', rows: unwrap(await request) }
  } catch (error) {
    if (error instanceof RequestFailed) {
      if (error.problem.code === '42501') return { state: 'forbidden' }
      if (['PGRST205', '42P01'].includes(error.problem.code)) return { state: 'missing' }
    }
    throw error
  }
}

/** The last comparison of the metrics' mirror with Odoo. */
export function useFreshness(): LiveQuery<Visible<SampleDelta>> {
  const { scout } = useScout()
  return useLiveQuery(['freshness'], (signal) =>
    visible(
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
  counts: Visible<Delta>
  status: Visible<Status>
  alerts: Visible<SyncAlert>
}

/** The state of all mirrors, as far as the role can read it. */
export function useHealth(): LiveQuery<Health> {
  const { scout } = useScout()
  return useLiveQuery(['health'], async (signal) => {
    const counts = scout.from('sync_count_delta').select('*').order('mirror')
    const status = scout.from('sync_status').select('*').order('mirror')
    const alerts = scout.from('sync_alerts').select('*').order('severity').order('since')
    const answers = await Promise.all([
      visible(counts.limit(MAX_MIRRORS).abortSignal(signal).retry(false)),
      visible(status.limit(MAX_MIRRORS).abortSignal(signal).retry(false)),
      visible(alerts.limit(MAX_MIRRORS).abortSignal(signal).retry(false)),
    ])
    return { counts: answers[0], status: answers[1], alerts: answers[2] }
  })
}

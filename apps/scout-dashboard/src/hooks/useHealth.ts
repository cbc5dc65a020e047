import { useQueryClient } from '@tanstack/react-query'
import { useEffect, useMemo, useRef } from 'react'

import { RequestFailed, unwrap } from '../lib/errors'
import { createRefetcher } from '../lib/refetch'
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

/**
 * Seconds between two checks of a followed mirror, if the page does not get its changes from
 * Realtime. The follower needs about a second, and a change should appear within two.
 */
const CHECK_SECONDS = 0.5
/** Seconds after which the page notices that a follower has stopped. */
const NOTICE_SECONDS = 15

/** The last comparison of the metrics' mirror with Odoo, and whether a follower keeps it live. */
export function useFreshness(): LiveQuery<Visible<SampleDelta>> {
  const { scout, realtime, config } = useScout()
  const whileLive = realtime.mode === 'realtime' ? NOTICE_SECONDS : CHECK_SECONDS
  return useLiveQuery(
    ['freshness'],
    (signal) =>
      visible(
        scout
          .from('sample_metrics_count_delta')
          .select('*')
          .limit(1)
          .abortSignal(signal)
          .retry(false),
      ),
    {
      seconds: (data) =>
        data?.state === 'seen' && data.rows[0]?.live
          ? Math.min(whileLive, config.pollSeconds)
          : config.pollSeconds,
    },
  )
}

/** How a follower keeps the metrics up to date. */
export interface Following {
  /** Whether it does; null if no follower has, or the page does not know. */
  live: boolean | null
  lastPoll: Date | null
  /** When both sides were last known to be equal or different; null for never or unknown. */
  synced: Date | null
}

export function followingOf({ data, error }: LiveQuery<Visible<SampleDelta>>): Following {
  const row = data?.state === 'seen' ? data.rows[0] : undefined
  const time = (moment: string | null | undefined) => (moment ? new Date(moment) : null)
  // Without a connection the page learns of no change.
  const live = error ? null : (row?.live ?? null)
  const [lastPoll, checked] = [time(row?.last_poll), time(row?.checked_at)]
  // A poll that finds no change is a comparison, too.
  const synced = row?.live && lastPoll && checked && lastPoll > checked ? lastPoll : checked
  return { live, lastPoll, synced }
}

/** Refetches the queries on the screen after a change of a followed mirror, without Realtime. */
export function useFollowedChanges(): void {
  const client = useQueryClient()
  const { realtime } = useScout()
  const freshness = useFreshness()
  const row = freshness.data?.state === 'seen' ? freshness.data.rows[0] : undefined
  const isChecked = realtime.mode === 'polling' && row?.live === true
  const counted = row?.checked_at ?? null
  const before = useRef(counted)
  const refetcher = useMemo(() => createRefetcher(client, { gatherMs: 0 }), [client])
  useEffect(() => refetcher.stop, [refetcher])
  useEffect(() => {
    // Each run that has written rows ends with new counts.
    if (isChecked && before.current !== null && counted !== before.current) refetcher.refetchSoon()
    before.current = counted
  }, [refetcher, isChecked, counted])
}

export interface Health {
  counts: Visible<Delta>
  status: Visible<Status>
  alerts: Visible<SyncAlert>
}

/** The state of all mirrors, as far as the role can read it. Realtime does not report it. */
export function useHealth(): LiveQuery<Health> {
  const { scout, config } = useScout()
  const read = async (signal: AbortSignal) => {
    const counts = scout.from('sync_count_delta').select('*').order('mirror')
    const status = scout.from('sync_status').select('*').order('mirror')
    const alerts = scout.from('sync_alerts').select('*').order('severity').order('since')
    const answers = await Promise.all([
      visible(counts.limit(MAX_MIRRORS).abortSignal(signal).retry(false)),
      visible(status.limit(MAX_MIRRORS).abortSignal(signal).retry(false)),
      visible(alerts.limit(MAX_MIRRORS).abortSignal(signal).retry(false)),
    ])
    return { counts: answers[0], status: answers[1], alerts: answers[2] }
  }
  return useLiveQuery(['health'], read, { seconds: () => config.pollSeconds })
}

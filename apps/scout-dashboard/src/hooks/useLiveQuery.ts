import { hashKey, keepPreviousData, useQuery, type QueryKey } from '@tanstack/react-query'
import { useState } from 'react'

import { problemOf, type Problem } from '../lib/errors'
import { useScout } from './useScout'

/** Realtime does not report rows that the user can no longer see, so the page polls, too. */
const REALTIME_POLL_SECONDS = 300

export interface LiveQuery<T> {
  /** The last data, also that of the previous key until this one has any; null before the first. */
  data: T | null
  /** Whether this key has neither data nor an error yet. */
  loading: boolean
  /** Why the last request failed. `data` then has the last data of this key, if any. */
  error: Problem | null
  /** When `data` was read. */
  at: Date | null
  retry: () => void
}

interface Options<T> {
  enabled?: boolean
  /**
   * Seconds until the next poll after this answer. By default the page polls seldom while Realtime
   * reports changes.
   */
  seconds?: (data: T | undefined) => number
}

/**
 * A query that follows the database: it polls, and it is read again when Realtime reports a change.
 *
 * read: throws on an error. It gets a signal that aborts when the page no longer needs the answer.
 */
export function useLiveQuery<T>(
  queryKey: QueryKey,
  read: (signal: AbortSignal) => Promise<T>,
  { enabled = true, seconds }: Options<T> = {},
): LiveQuery<T> {
  const { config, realtime } = useScout()
  const usual = realtime.mode === 'realtime' ? REALTIME_POLL_SECONDS : config.pollSeconds
  const query = useQuery({
    queryKey,
    queryFn: ({ signal }) => read(signal),
    enabled,
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) =>
      1000 * (state.status === 'error' ? config.pollSeconds : (seconds?.(state.data) ?? usual)),
  })

  // Without data, TanStack Query drops the error when it retries. The page shows it until the
  // retry has a result: the message must not flicker with each poll.
  const waiting = query.isPending || query.isPlaceholderData
  const hash = hashKey(queryKey)
  const [failure, setFailure] = useState<{ hash: string; error: Error } | null>(null)
  const error = query.error ?? (waiting && failure?.hash === hash ? failure.error : null)
  if (error !== (failure?.error ?? null)) setFailure(error && { hash, error })

  const shown = query.isPlaceholderData && error ? undefined : query.data
  return {
    data: shown ?? null,
    loading: enabled && !error && waiting,
    error: error && problemOf(error),
    at: query.dataUpdatedAt > 0 ? new Date(query.dataUpdatedAt) : null,
    retry: () => void query.refetch({ cancelRefetch: false }),
  }
}

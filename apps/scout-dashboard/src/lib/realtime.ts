import type { QueryClient } from '@tanstack/react-query'
import { REALTIME_SUBSCRIBE_STATES, type RealtimeChannel } from '@supabase/supabase-js'

import { createRefetcher, type RefetchLimits } from './refetch'
import type { Scout } from './supabase'

/** How the page learns of changes, and why it does not use Realtime. */
export interface RealtimeState {
  mode: 'realtime' | 'polling'
  reason: string
}

export const CONNECTING: RealtimeState = { mode: 'polling', reason: 'Connecting to Realtime' }

interface Options extends RefetchLimits {
  /** Whether to subscribe at all. */
  realtime: boolean
  /** Seconds until the page subscribes again after the channel was closed. */
  pollSeconds: number
}

/**
 * Subscribes to changes of the metrics table, and refetches the queries on the screen after them.
 *
 * onState: called when the mode or its reason changes. The mode is `realtime` only after the server
 * has confirmed that it sends changes. Returns a function that ends the subscription.
 */
export function watchChanges(
  scout: Scout,
  client: QueryClient,
  { realtime, pollSeconds, ...limits }: Options,
  onState: (state: RealtimeState) => void,
): () => void {
  let ended = false
  let state = CONNECTING
  let channel: RealtimeChannel | null = null
  let rejoining: ReturnType<typeof setTimeout> | undefined
  const { refetchSoon, stop } = createRefetcher(client, limits)

  const become = (mode: RealtimeState['mode'], reason: string) => {
    if (mode === state.mode && reason === state.reason) return
    state = { mode, reason }
    onState(state)
  }
  const rejoinLater = () => {
    rejoining ??= setTimeout(() => {
      rejoining = undefined
      void join()
    }, pollSeconds * 1000)
  }
  const join = async () => {
    try {
      // Without the token, the channel would be that of the anonymous role.
      await scout.realtime.setAuth()
      if (!ended) subscribe()
    } catch (error) {
      if (ended) return
      become('polling', error instanceof Error ? error.message : 'Realtime cannot be reached')
      rejoinLater()
    }
  }
  const subscribe = () => {
    const joined = scout
      .channel('ipai-sample-metrics')
      .on(
        'postgres_changes',
        { event: '*', schema: 'ipai', table: 'ipai_sample_metrics' },
        refetchSoon,
      )
      // A joined channel need not send changes: the server confirms that later, or says why not.
      .on('system', {}, (message: { extension?: string; status?: string; message?: string }) => {
        if (channel !== joined || message.extension !== 'postgres_changes') return
        if (message.status !== 'ok') {
          become('polling', message.message ?? 'Realtime does not send this table')
          return
        }
        // Rows may have changed while the page was subscribing.
        if (state.mode !== 'realtime') refetchSoon()
        become('realtime', '')
      })
    channel = joined
    joined.subscribe((status, error) => {
      if (channel !== joined || status === REALTIME_SUBSCRIBE_STATES.SUBSCRIBED) return
      become('polling', error?.message ?? 'Realtime cannot be reached')
      // The library rejoins after errors, but not after the server has closed the channel, as it
      // does when a token expires.
      if (status === REALTIME_SUBSCRIBE_STATES.CLOSED) {
        channel = null
        rejoinLater()
      }
    })
  }

  if (realtime) void join()
  else become('polling', 'Realtime is switched off')
  return () => {
    ended = true
    clearTimeout(rejoining)
    stop()
    const left = channel
    channel = null
    if (left) void scout.removeChannel(left)
  }
}

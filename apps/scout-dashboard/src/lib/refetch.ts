import { focusManager, type QueryClient } from '@tanstack/react-query'

export interface RefetchLimits {
  /** Milliseconds to collect changes before a refetch: a sync changes many rows. */
  gatherMs?: number
  /** Minimum milliseconds between two refetches. */
  restMs?: number
}

export interface Refetcher {
  /** Refetches the queries on the screen, once for the changes of a short time. */
  refetchSoon: () => void
  stop: () => void
}

/** A refetch is followed by a pause that is longer by this factor, up to a limit. */
const PAUSE_FACTOR = 3
const LONGEST_PAUSE_MS = 10_000

/** Refetches after changes. While changes keep coming, a slow server has time for other requests. */
export function createRefetcher(
  client: QueryClient,
  { gatherMs = 200, restMs = 1000 }: RefetchLimits = {},
): Refetcher {
  let timer: ReturnType<typeof setTimeout> | undefined
  let isReading = false
  let reported = 0
  let handled = 0
  let notBefore = -Infinity

  const schedule = () => {
    if (isReading) return
    const wait = Math.max(gatherMs, notBefore - performance.now())
    timer ??= setTimeout(() => void refetch(), wait)
  }
  const refetch = async () => {
    timer = undefined
    handled = reported
    isReading = true
    const began = performance.now()
    await refetchActive(client)
    const ended = performance.now()
    const pause = Math.min((ended - began) * PAUSE_FACTOR, LONGEST_PAUSE_MS)
    notBefore = Math.max(began + restMs, ended + pause)
    isReading = false
    // The answers may not have what has changed in the meantime.
    if (reported > handled) schedule()
  }
  return {
    refetchSoon: () => {
      reported++
      schedule()
    },
    stop: () => {
      handled = reported
      clearTimeout(timer)
      timer = undefined
    },
  }
}

/** Refetches the queries on the screen. A hidden page refetches when it becomes visible. */
async function refetchActive(client: QueryClient): Promise<void> {
  if (!focusManager.isFocused()) return
  const active = client.getQueryCache().findAll({ type: 'active' })
  await Promise.all(
    active.map(async ({ queryKey, state }) => {
      const refetch = () =>
        client.refetchQueries({ queryKey, exact: true, type: 'active' }, { cancelRefetch: false })
      const isUnderWay = state.fetchStatus === 'fetching'
      await refetch()
      // A request that was already under way may have read the row before the change. It is not
      // cancelled, since with frequent changes it would never complete; it is repeated.
      if (isUnderWay) await refetch()
    }),
  )
}

import { useEffect, useEffectEvent, useState } from 'react'

import { problemOf, type Problem } from '../lib/errors'
import { useScout } from './useScout'

export interface Query<T> {
  /** What was read last, also while it is read anew; null: nothing yet. */
  data: T | null
  /** Whether what was asked for has not come yet. */
  loading: boolean
  /** Why the last attempt failed. `data` may still be there, from before. */
  error: Problem | null
  /** When `data` was read. */
  at: Date | null
  retry: () => void
}

interface Result<T> {
  key: string
  attempt: number
  data: T | null
  error: Problem | null
  at: Date | null
}

/**
 * Reads something whenever `key` changes, and again when Live says so. What is no longer wanted is cancelled.
 *
 * read: throws on an error. With `key` null nothing is read.
 */
export function useQuery<T>(
  key: string | null,
  read: (signal: AbortSignal) => Promise<T>,
): Query<T> {
  const { live } = useScout()
  const [attempt, setAttempt] = useState(0)
  const [result, setResult] = useState<Result<T>>({
    key: '',
    attempt: 0,
    data: null,
    error: null,
    at: null,
  })
  const latest = useEffectEvent(read)

  useEffect(() => {
    if (key === null) return
    const controller = new AbortController()
    const { signal } = controller
    let reading = false
    let again = false
    const load = async () => {
      // A change that comes while an answer is under way must neither be lost nor start over what may never end.
      again = reading
      if (reading) return
      reading = true
      try {
        const data = await latest(signal)
        if (!signal.aborted) setResult({ key, attempt, data, error: null, at: new Date() })
      } catch (error) {
        if (!signal.aborted) {
          // What was read before of the same thing is better than nothing.
          live.failed()
          setResult((old) => ({
            ...old,
            ...(old.key === key ? {} : { data: null, at: null }),
            key,
            attempt,
            error: problemOf(error),
          }))
        }
      }
      reading = false
      if (again && !signal.aborted) void load()
    }
    void load()
    const stop = live.onChange(() => void load())
    return () => {
      stop()
      controller.abort()
    }
  }, [key, attempt, live])

  const current = result.key === key
  return {
    data: result.data,
    loading: key !== null && (!current || result.attempt !== attempt),
    error: current ? result.error : null,
    at: result.at,
    retry: () => setAttempt((n) => n + 1),
  }
}

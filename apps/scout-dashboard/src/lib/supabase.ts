import { createClient, type SupabaseClient } from '@supabase/supabase-js'

import type { Database } from '../types/database'
import type { Config } from './config'

export type Scout = SupabaseClient<Database, 'ipai'>

/** Seconds for an answer: longer than Supabase lets a user's statement run. */
const ANSWER_SECONDS = 20

/** A fetch that gives up, also while the answer is on its way: a connection that hangs would be waited for for ever. */
export function impatient(seconds: number): typeof fetch {
  return (input, init) => {
    const deadline = AbortSignal.timeout(seconds * 1000)
    return fetch(input, {
      ...init,
      signal: init?.signal ? AbortSignal.any([init.signal, deadline]) : deadline,
    })
  }
}

/** A client for Supabase Auth's session in this browser; with `token`, for the one that it says. */
export function createScout(
  config: Pick<Config, 'supabaseUrl' | 'supabaseKey'>,
  token?: string,
  answerSeconds = ANSWER_SECONDS,
): Scout {
  return createClient<Database, 'ipai'>(config.supabaseUrl, config.supabaseKey, {
    db: { schema: 'ipai' },
    global: { fetch: impatient(answerSeconds) },
    ...(token === undefined ? {} : { accessToken: () => Promise.resolve(token) }),
  })
}

import { createClient, type SupabaseClient } from '@supabase/supabase-js'

import type { Database } from '../types/database'
import type { Config } from './config'

export type Scout = SupabaseClient<Database, 'ipai'>

/** Seconds until a request times out: longer than Supabase's statement timeout for users. */
const ANSWER_SECONDS = 20

/** A fetch with a timeout that includes the body of the answer. */
export function fetchWithin(seconds: number): typeof fetch {
  return (input, init) => {
    const deadline = AbortSignal.timeout(seconds * 1000)
    return fetch(input, {
      ...init,
      signal: init?.signal ? AbortSignal.any([init.signal, deadline]) : deadline,
    })
  }
}

/** A client for the browser's session of Supabase Auth, or for the user of `token`. */
export function createScout(
  config: Pick<Config, 'supabaseUrl' | 'supabaseKey'>,
  token?: string,
  answerSeconds = ANSWER_SECONDS,
): Scout {
  return createClient<Database, 'ipai'>(config.supabaseUrl, config.supabaseKey, {
    db: { schema: 'ipai' },
    global: { fetch: fetchWithin(answerSeconds) },
    ...(token === undefined ? {} : { accessToken: () => Promise.resolve(token) }),
  })
}

import { createClient, type SupabaseClient } from '@supabase/supabase-js'

import type { Database } from '../types/database'
import type { Config } from './config'

export type Scout = SupabaseClient<Database, 'ipai'>

/** A client for Supabase Auth's session in this browser; with `token`, for the one that it says. */
export function createScout(config: Pick<Config, 'supabaseUrl' | 'supabaseKey'>, token?: string): Scout {
  return createClient<Database, 'ipai'>(config.supabaseUrl, config.supabaseKey, {
    db: { schema: 'ipai' },
    ...(token === undefined ? {} : { accessToken: () => Promise.resolve(token) }),
  })
}

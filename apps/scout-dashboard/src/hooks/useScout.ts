import { createContext, use } from 'react'

import type { Config } from '../lib/config'
import type { Formats } from '../lib/format'
import type { RealtimeState } from '../lib/realtime'
import type { Scout } from '../lib/supabase'

/** What the whole page shares, for one signed-in user. */
export interface ScoutContext {
  scout: Scout
  realtime: RealtimeState
  config: Config
  formats: Formats
}

export const ScoutReact = createContext<ScoutContext | null>(null)

export function useScout(): ScoutContext {
  const context = use(ScoutReact)
  if (!context) throw new Error('useScout outside of a signed-in page')
  return context
}

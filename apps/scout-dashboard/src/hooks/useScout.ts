import { createContext, use } from 'react'

import type { Config } from '../lib/config'
import type { Formats } from '../lib/format'
import type { Live } from '../lib/live'
import type { Scout } from '../lib/supabase'

/** What every part of the page works with, for one signed-in user. */
export interface ScoutContext {
  scout: Scout
  live: Live
  config: Config
  formats: Formats
}

export const ScoutReact = createContext<ScoutContext | null>(null)

export function useScout(): ScoutContext {
  const context = use(ScoutReact)
  if (!context) throw new Error('useScout outside of a signed-in page')
  return context
}

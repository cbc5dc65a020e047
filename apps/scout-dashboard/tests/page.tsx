import { QueryClientProvider } from '@tanstack/react-query'
import type { ReactNode } from 'react'

import { ScoutReact } from '../src/hooks/useScout'
import { complete } from '../src/lib/config'
import { formats } from '../src/lib/format'
import { createQueryClient } from '../src/lib/queries'
import { CONNECTING } from '../src/lib/realtime'
import { createScout } from '../src/lib/supabase'

/** A wrapper for hooks: the context of a page, with a cache of its own. */
export function pageWrapper({
  supabaseUrl = 'http://127.0.0.1:9',
  pollSeconds = 15,
  realtime = CONNECTING,
  answerSeconds = 20,
}) {
  const config = { ...complete({ supabaseUrl, supabaseKey: 'sb_publishable_x' }, {}), pollSeconds }
  const scout = createScout(config, 'token', answerSeconds)
  const client = createQueryClient()
  const context = { scout, config, formats: formats('en', 'PHP'), realtime }
  return ({ children }: { children: ReactNode }) => (
    <ScoutReact value={context}>
      <QueryClientProvider client={client}>{children}</QueryClientProvider>
    </ScoutReact>
  )
}

import { Spinner } from '@fluentui/react-components'
import type { Session } from '@supabase/supabase-js'
import { useEffect, useState } from 'react'

import type { ThemeSwitch } from '../hooks/useTheme'
import type { Config } from '../lib/config'
import { createScout } from '../lib/supabase'
import { Shell } from './Shell'
import { SignIn } from './SignIn'
import { UserMenu } from './UserMenu'

/** Shows the pages to a user whom Supabase Auth has signed in, and the sign-in to others. */
export function AuthGate({ config, theme }: { config: Config; theme: ThemeSwitch }) {
  const [scout] = useState(() => createScout(config))
  const [session, setSession] = useState<Session | null | undefined>(undefined)
  useEffect(() => {
    const { data } = scout.auth.onAuthStateChange((_event, current) => setSession(current))
    return () => data.subscription.unsubscribe()
  }, [scout])

  if (session === undefined) return <Spinner label="Signing in" style={{ paddingTop: '30vh' }} />
  if (session === null) return <SignIn scout={scout} />
  const signOut = () => void scout.auth.signOut({ scope: 'local' })
  const menu = <UserMenu name={session.user.email ?? 'Signed in'} onSignOut={signOut} />
  return <Shell key={session.user.id} scout={scout} config={config} theme={theme} userMenu={menu} />
}

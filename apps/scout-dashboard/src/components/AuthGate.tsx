import { Spinner } from '@fluentui/react-components'
import type { Session } from '@supabase/supabase-js'
import { useEffect, useState } from 'react'

import type { GateProps } from '../App'
import { createScout } from '../lib/supabase'
import { Shell } from './Shell'
import { SignIn } from './SignIn'
import { UserMenu } from './UserMenu'

/** Signed in by Supabase Auth, or asked to. */
export function AuthGate({ config, dark, toggleTheme }: GateProps) {
  const [scout] = useState(() => createScout(config))
  const [session, setSession] = useState<Session | null | undefined>(undefined)
  useEffect(() => {
    const { data } = scout.auth.onAuthStateChange((_event, current) => setSession(current))
    return () => data.subscription.unsubscribe()
  }, [scout])

  if (session === undefined) return <Spinner label="Signing in" style={{ paddingTop: '30vh' }} />
  if (session === null) return <SignIn scout={scout} />
  const menu = (
    <UserMenu
      name={session.user.email ?? 'Signed in'}
      onSignOut={() => void scout.auth.signOut({ scope: 'local' })}
    />
  )
  return (
    <Shell
      key={session.user.id}
      scout={scout}
      config={config}
      dark={dark}
      toggleTheme={toggleTheme}
      userMenu={menu}
    />
  )
}

import { useMemo, useState } from 'react'

import type { GateProps } from '../App'
import { createScout } from '../lib/supabase'
import { Shell } from './Shell'
import { UserMenu } from './UserMenu'

/** Signed in as one of the users that config.json names, with a way to become another. */
export function DemoGate({ config, dark, toggleTheme }: GateProps) {
  const [name, setName] = useState(config.demoUsers[0]?.name ?? '')
  const token = config.demoUsers.find((user) => user.name === name)?.token
  const scout = useMemo(() => createScout(config, token), [config, token])
  const menu = (
    <UserMenu name={name} others={config.demoUsers.map((user) => user.name)} onSwitch={setName} />
  )
  // A new page for each user: nothing of the one before may stay on it.
  return (
    <Shell
      key={name}
      scout={scout}
      config={config}
      dark={dark}
      toggleTheme={toggleTheme}
      userMenu={menu}
    />
  )
}

import { useMemo, useState } from 'react'

import type { ThemeSwitch } from '../hooks/useTheme'
import type { Config } from '../lib/config'
import { createScout } from '../lib/supabase'
import { Shell } from './Shell'
import { UserMenu } from './UserMenu'

/** Shows the pages to one of the users in config.json, with a menu to switch between them. */
export function DemoGate({ config, theme }: { config: Config; theme: ThemeSwitch }) {
  const [name, setName] = useState(config.demoUsers[0]?.name ?? '')
  const token = config.demoUsers.find((user) => user.name === name)?.token
  const scout = useMemo(() => createScout(config, token), [config, token])
  const others = config.demoUsers.map((user) => user.name)
  const menu = <UserMenu name={name} others={others} onSwitch={setName} />
  // The key gives each user a new page, without data of the previous user.
  return <Shell key={name} scout={scout} config={config} theme={theme} userMenu={menu} />
}

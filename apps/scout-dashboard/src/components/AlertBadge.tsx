import { Badge } from '@fluentui/react-components'
import { AlertFilled } from '@fluentui/react-icons'

import { useScout } from '../hooks/useScout'

/** How many alerts; nothing for none. */
export function AlertBadge({ alerts }: { alerts: number }) {
  const { formats } = useScout()
  if (alerts === 0) return null
  return (
    <Badge appearance="filled" color="danger" icon={<AlertFilled />}>
      {formats.count(alerts)} {alerts === 1 ? 'alert' : 'alerts'}
    </Badge>
  )
}

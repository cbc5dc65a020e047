import { Badge } from '@fluentui/react-components'
import { AlertFilled } from '@fluentui/react-icons'

import { useScout } from '../hooks/useScout'

/** How many alerts, or of a single row that it is one; nothing for none. */
export function AlertBadge({ alerts, row = false }: { alerts: number; row?: boolean }) {
  const { formats } = useScout()
  if (alerts === 0) return null
  return (
    <Badge appearance="filled" color="danger" icon={<AlertFilled />}>
      {row ? 'Alert' : `${formats.count(alerts)} ${alerts === 1 ? 'alert' : 'alerts'}`}
    </Badge>
  )
}

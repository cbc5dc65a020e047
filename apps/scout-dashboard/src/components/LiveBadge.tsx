import { Badge, Tooltip } from '@fluentui/react-components'
import { ArrowSyncCircleRegular, FlashRegular } from '@fluentui/react-icons'
import { useSyncExternalStore } from 'react'

import { useScout } from '../hooks/useScout'

/** Says how changes arrive. */
export function LiveBadge() {
  const { live, config } = useScout()
  const { mode, reason } = useSyncExternalStore(live.onState, live.getState)
  const [label, why] =
    mode === 'realtime'
      ? ['Live', 'Changes arrive at once, by Realtime']
      : [
          `Polling, ${config.pollSeconds} s`,
          `The page looks for changes every ${config.pollSeconds} seconds. ${reason}.`,
        ]
  return (
    <Tooltip content={why} relationship="description">
      <Badge
        appearance="tint"
        color={mode === 'realtime' ? 'success' : 'informative'}
        icon={mode === 'realtime' ? <FlashRegular /> : <ArrowSyncCircleRegular />}
        data-live={mode}
        tabIndex={0}
        role="status"
        size="large"
      >
        {label}
      </Badge>
    </Tooltip>
  )
}

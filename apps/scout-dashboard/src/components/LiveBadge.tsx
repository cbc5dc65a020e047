import { Badge, Tooltip } from '@fluentui/react-components'
import { ArrowSyncCircleRegular, FlashRegular } from '@fluentui/react-icons'

import { useScout } from '../hooks/useScout'

/** Says whether the page learns of changes by Realtime or by polling. */
export function LiveBadge() {
  const { realtime, config } = useScout()
  const { mode, reason } = realtime
  const live = mode === 'realtime'
  const seconds = config.pollSeconds
  const why = live
    ? 'Realtime reports changes as they happen'
    : `The page checks for changes every ${seconds} seconds. ${reason}.`
  return (
    <Tooltip content={why} relationship="description">
      <Badge
        appearance="tint"
        color={live ? 'success' : 'informative'}
        icon={live ? <FlashRegular /> : <ArrowSyncCircleRegular />}
        data-live={mode}
        tabIndex={0}
        role="status"
        size="large"
      >
        {live ? 'Live' : `Polling, ${seconds} s`}
      </Badge>
    </Tooltip>
  )
}

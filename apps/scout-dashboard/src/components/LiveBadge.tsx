import { Badge, Tooltip } from '@fluentui/react-components'
import {
  ArrowSyncCircleRegular,
  FlashOffRegular,
  FlashRegular,
  PlugConnectedRegular,
} from '@fluentui/react-icons'

import { followingOf, useFreshness } from '../hooks/useHealth'
import { useScout } from '../hooks/useScout'
import { liveness, type Liveness } from '../lib/live'

const LOOKS: Record<
  Liveness['state'],
  ['success' | 'warning' | 'informative', React.ReactElement]
> = {
  live: ['success', <FlashRegular />],
  stopped: ['warning', <FlashOffRegular />],
  realtime: ['informative', <PlugConnectedRegular />],
  polling: ['informative', <ArrowSyncCircleRegular />],
}

/** Says how soon a change in Odoo appears on the page. */
export function LiveBadge() {
  const { realtime, config, formats } = useScout()
  const following = followingOf(useFreshness())
  const { state, text, why } = liveness(realtime, following, config.pollSeconds, formats)
  const [color, icon] = LOOKS[state]
  return (
    <Tooltip content={why} relationship="description">
      <Badge
        appearance="tint"
        color={color}
        icon={icon}
        data-live={state}
        data-changes={realtime.mode}
        tabIndex={0}
        role="status"
        size="large"
      >
        {text}
      </Badge>
    </Tooltip>
  )
}

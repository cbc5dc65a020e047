import { Badge } from '@fluentui/react-components'
import { FlagFilled } from '@fluentui/react-icons'

/** Marks flagged values with the given text. */
export function FlagBadge({ text }: { text: string }) {
  return (
    <Badge appearance="filled" color="danger" icon={<FlagFilled />}>
      {text}
    </Badge>
  )
}

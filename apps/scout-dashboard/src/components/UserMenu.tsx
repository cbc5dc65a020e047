import {
  Button,
  makeStyles,
  Menu,
  MenuItem,
  MenuItemRadio,
  MenuList,
  MenuPopover,
  MenuTrigger,
} from '@fluentui/react-components'
import { PersonRegular } from '@fluentui/react-icons'

interface Props {
  name: string
  /** The users to switch between, in the demo. */
  others?: string[]
  onSwitch?: (name: string) => void
  onSignOut?: () => void
}

const useStyles = makeStyles({
  button: {
    '@media (max-width: 600px)': { minWidth: 'auto', paddingLeft: '8px', paddingRight: '8px' },
  },
  name: {
    maxWidth: '220px',
    overflow: 'hidden',
    textOverflow: 'ellipsis',
    whiteSpace: 'nowrap',
    '@media (max-width: 600px)': { display: 'none' },
  },
})

export function UserMenu({ name, others = [], onSwitch, onSignOut }: Props) {
  const styles = useStyles()
  return (
    <Menu
      checkedValues={{ user: [name] }}
      onCheckedValueChange={(_event, { checkedItems }) => {
        const chosen = checkedItems.at(-1)
        if (chosen && chosen !== name) onSwitch?.(chosen)
      }}
    >
      <MenuTrigger disableButtonEnhancement>
        <Button
          appearance="subtle"
          className={styles.button}
          icon={<PersonRegular />}
          aria-label={`Signed in as ${name}`}
        >
          <span className={styles.name}>{name}</span>
        </Button>
      </MenuTrigger>
      <MenuPopover>
        <MenuList>
          {others.map((other) => (
            <MenuItemRadio key={other} name="user" value={other}>
              {other}
            </MenuItemRadio>
          ))}
          {onSignOut && <MenuItem onClick={onSignOut}>Sign out</MenuItem>}
        </MenuList>
      </MenuPopover>
    </Menu>
  )
}

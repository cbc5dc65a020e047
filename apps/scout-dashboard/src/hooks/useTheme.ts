import {
  createDarkTheme,
  createLightTheme,
  type BrandVariants,
  type Theme,
} from '@fluentui/react-components'
import { useEffect, useState, useSyncExternalStore } from 'react'

const brand: BrandVariants = {
  10: '#021313',
  20: '#0a2121',
  30: '#0b3233',
  40: '#0a4142',
  50: '#095051',
  60: '#085f61',
  70: '#066f71',
  80: '#057f82',
  90: '#2a8f92',
  100: '#479fa1',
  110: '#61afb1',
  120: '#7abec0',
  130: '#93cecf',
  140: '#acddde',
  150: '#c6ecec',
  160: '#e0fafa',
}

const light: Theme = createLightTheme(brand)
const dark: Theme = {
  ...createDarkTheme(brand),
  // The darker ones that the theme takes are hard to read on a dark ground.
  colorBrandForeground1: brand[120],
  colorBrandForeground2: brand[130],
  colorBrandForegroundLink: brand[120],
  colorBrandStroke1: brand[110],
}

const KEY = 'scout-theme'
const preference = globalThis.matchMedia('(prefers-color-scheme: dark)')
const listen = (listener: () => void) => {
  preference.addEventListener('change', listener)
  return () => preference.removeEventListener('change', listener)
}

/** The theme that was chosen here, else the system's; and how to choose the other. */
export function useTheme(): { theme: Theme; dark: boolean; toggle: () => void } {
  const system = useSyncExternalStore(listen, () => preference.matches)
  const [chosen, setChosen] = useState(() => localStorage.getItem(KEY))
  const isDark = chosen === null ? system : chosen === 'dark'
  useEffect(() => {
    document.documentElement.style.colorScheme = isDark ? 'dark' : 'light'
    document.documentElement.style.backgroundColor = (isDark ? dark : light).colorNeutralBackground2
  }, [isDark])
  const toggle = () => {
    const next = isDark ? 'light' : 'dark'
    localStorage.setItem(KEY, next)
    setChosen(next)
  }
  return { theme: isDark ? dark : light, dark: isDark, toggle }
}

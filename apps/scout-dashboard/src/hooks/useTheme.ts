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
  // The darker colors of Fluent's dark theme have too little contrast.
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

export interface ThemeSwitch {
  dark: boolean
  toggle: () => void
}

/** The theme that the user chose in this browser, else the system's, and a switch between both. */
export function useTheme(): ThemeSwitch & { theme: Theme } {
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

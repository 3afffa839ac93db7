/** The theme of VitePress, with corrections of its contrasts and labels. */
import DefaultTheme from 'vitepress/theme';
import './style.css';

export default DefaultTheme;

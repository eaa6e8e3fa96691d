import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { preferred, speak } from './words/words.svelte';

const target = document.getElementById('app');
if (target) void speak(preferred(navigator.languages)).then(() => mount(App, { target }));

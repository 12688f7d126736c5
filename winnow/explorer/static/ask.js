// Asking by a dropped file, or by a recorded sound, which is made a WAV here: the recommender reads no WebM.
"use strict";

const LONGEST_S = 10;

function sendFile(form, file) {
  const files = new DataTransfer();
  files.items.add(file);
  form.querySelector("input[type=file]").files = files.files;
  form.requestSubmit();
}

function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (place, word) => [...word].forEach((letter, n) => view.setUint8(place + n, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, n) => view.setInt16(44 + 2 * n, 32767 * Math.max(-1, Math.min(1, sample)), true));
  return new File([view.buffer], "recording.wav", { type: "audio/wav" });
}

async function record(form, button) {
  const status = form.querySelector("[data-status]");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(stream);
  const parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = async () => {
    stream.getTracks().forEach((track) => track.stop());
    button.textContent = "Record a sound";
    status.textContent = "Sending the sound.";
    const context = new AudioContext();
    const sound = await context.decodeAudioData(await new Blob(parts).arrayBuffer());
    await context.close();
    sendFile(form, wav(sound.getChannelData(0), sound.sampleRate));
  };
  recorder.start();
  button.textContent = "Stop and ask";
  status.textContent = `Recording, at most ${LONGEST_S} seconds.`;
  const stop = () => recorder.state === "recording" && recorder.stop();
  button.addEventListener("click", stop, { once: true });
  setTimeout(stop, 1000 * LONGEST_S);
  return recorder;
}

function prepare(form) {
  if (form.dataset.prepared) return;
  form.dataset.prepared = "yes";
  for (const kind of ["dragover", "dragleave", "drop"]) {
    form.addEventListener(kind, (event) => {
      event.preventDefault();
      form.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) sendFile(form, event.dataTransfer.files[0]);
    });
  }
  const button = form.querySelector("[data-record]");
  if (!button || !navigator.mediaDevices || !window.MediaRecorder) return;
  button.hidden = false;
  let running = null;
  button.addEventListener("click", async () => {
    if (running && running.state === "recording") return;
    try {
      running = await record(form, button);
    } catch (error) {
      form.querySelector("[data-status]").textContent = `No sound can be recorded: ${error.message}`;
    }
  });
}

const prepareAll = () => document.querySelectorAll("[data-drop]").forEach(prepare);
document.addEventListener("DOMContentLoaded", prepareAll);
document.addEventListener("htmx:afterSettle", prepareAll);

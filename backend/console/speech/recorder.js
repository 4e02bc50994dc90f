/** A recording of the microphone: `stop()` gives it as a file. */

const LEVEL_MS = 80;
const KINDS = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];

/** Begin to record; *onLevel* hears how loud it is (0 to 1), *onSecond* how long it lasts. Raises what the browser refuses. */
export async function record({ onLevel, onSecond }) {
  const media = await navigator.mediaDevices.getUserMedia({ audio: true });
  const kind = KINDS.find((one) => MediaRecorder.isTypeSupported(one));
  const recorder = new MediaRecorder(media, kind ? { mimeType: kind } : {});
  const parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  const meter = measure(media, onLevel);
  let seconds = 0;
  onSecond(0);
  const clock = setInterval(() => onSecond((seconds += 1)), 1000);
  recorder.start(500);
  return {
    stop() {
      clearInterval(clock);
      meter.stop();
      return new Promise((resolve) => {
        recorder.onstop = () => {
          media.getTracks().forEach((track) => track.stop());
          const type = (recorder.mimeType || "audio/webm").split(";")[0];
          resolve(new File(parts, `recording.${type.split("/")[1]}`, { type }));
        };
        recorder.stop();
      });
    },
  };
}

function measure(media, onLevel) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  context.createMediaStreamSource(media).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, value) => sum + value * value, 0) / samples.length;
    onLevel(Math.min(1, Math.sqrt(power) * 4));
  }, LEVEL_MS);
  return {
    stop() {
      clearInterval(timer);
      context.close();
    },
  };
}

"""An application of the common kind that has a thread which never ends; with --verbose even stop() does not."""

import time

from dove_ryu.southbound import framework


class Stubborn(framework.RyuApp):
    def start(self):
        super().start()
        framework.hub.spawn(self.poll)

    def poll(self):
        while True:
            framework.hub.sleep(0.1)

    def stop(self):
        self.logger.info("asked to stop")
        super().stop()
        if self.CONF.verbose:
            time.sleep(60)

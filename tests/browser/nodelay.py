"""An extension of the server under test: /api/nodelay reads an option of its own sockets."""

from socket import IPPROTO_TCP, TCP_NODELAY

from jupyter_server.base.handlers import APIHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.web import authenticated


class Nodelay(APIHandler):
    """Whether each kernel's websocket has TCP_NODELAY."""

    @authenticated
    def get(self) -> None:
        protocols = [
            connection.websocket_handler.ws_connection
            for connection in ZMQChannelsWebsocketConnection._open_sockets
        ]
        sockets = [protocol.stream.socket for protocol in protocols]
        self.write({"nodelay": [s.getsockopt(IPPROTO_TCP, TCP_NODELAY) != 0 for s in sockets]})


def _load_jupyter_server_extension(app: ServerApp) -> None:
    app.web_app.add_handlers(".*", [("/api/nodelay", Nodelay)])

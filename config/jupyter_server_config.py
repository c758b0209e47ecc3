"""How `make lab` sets up JupyterLab; `JUPYTER_CONFIG_PATH` names this folder."""

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class PromptConnection(ZMQChannelsWebsocketConnection):
    """A kernel's connection to the page that sends each message at once."""

    def connect(self):
        # Else Nagle's algorithm keeps a picture back until the browser acknowledges the small
        # "busy" message before it, and browsers take up to 40 ms over that.
        self.websocket_handler.set_nodelay(True)
        return super().connect()


c = get_config()  # noqa: F821 - Jupyter runs this file with that name defined
c.ServerApp.kernel_websocket_connection_class = PromptConnection

# What teachers grade with would only be in a reader's way. labconfig/page_config.json hides its
# menus; a JupyterLab that is not given this folder has them.
NBGRADER = ("assignment_list", "course_list", "formgrader", "validate_assignment")
c.ServerApp.jpserver_extensions = {
    **{f"nbgrader.server_extensions.{name}": False for name in NBGRADER},
    "notebook": False,
}

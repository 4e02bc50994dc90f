"""What the blueprints share: authentication, limits, streams, sockets, uploads and paging."""

extension RedisConfiguration {
    /// The settings for encryption and for the verification of the server.
    ///
    /// ```swift
    /// configuration.tls = RedisConfiguration.TLS(caFile: "/etc/ssl/company.pem")
    /// ```
    ///
    /// TLS 1.2 is the minimum. The server's certificate is verified, including that it is for the host of the endpoint:
    /// a name, which is also the requested name (SNI), or an address. The files are read again after they have changed, for the next connection.
    public struct TLS: Hashable, Sendable, CustomReflectable {
        /// A PEM file with the trusted authorities. Defaults to `nil`, which means those of the system.
        public var caFile: String?
        /// A PEM file with the client certificate, followed by the certificates that lead to its authority, if the
        /// server requires one. Defaults to `nil`.
        public var certificateFile: String?
        /// A PEM file with the key of the client certificate. Defaults to `nil`.
        public var keyFile: String?
        /// The password of an encrypted `keyFile`. Defaults to `nil`.
        public var keyPassword: String?
        /// The name or address that is requested and that the certificate has to contain. Defaults to `nil`, which means
        /// the host of the endpoint.
        public var serverName: String?
        /// A Boolean value indicating whether the server's certificate is not verified, so that anyone may pose as the
        /// server. Use it for experiments only. Every such connection is logged. Defaults to `false`.
        public var insecureSkipsVerification: Bool

        /// Creates settings. Omitted values use the defaults.
        public init(
            caFile: String? = nil,
            certificateFile: String? = nil,
            keyFile: String? = nil,
            keyPassword: String? = nil,
            serverName: String? = nil,
            insecureSkipsVerification: Bool = false
        ) {
            self.caFile = caFile
            self.certificateFile = certificateFile
            self.keyFile = keyFile
            self.keyPassword = keyPassword
            self.serverName = serverName
            self.insecureSkipsVerification = insecureSkipsVerification
        }

        /// A mirror of everything except the key's password.
        public var customMirror: Mirror {
            Mirror(
                self,
                children: [
                    "caFile": caFile ?? "the system's", "certificateFile": certificateFile ?? "none",
                    "keyFile": keyFile ?? "none", "serverName": serverName ?? "the host",
                    "insecureSkipsVerification": insecureSkipsVerification,
                ]
            )
        }
    }
}

extension RedisConfiguration.TLS: CustomStringConvertible, CustomDebugStringConvertible {
    /// The files and the server's name, without the key's password.
    public var description: String {
        let parts = customMirror.children.map { "\($0.label ?? ""): \($0.value)" }
        return "TLS(\(parts.joined(separator: ", ")))"
    }

    /// The same text as ``description``.
    public var debugDescription: String { description }
}

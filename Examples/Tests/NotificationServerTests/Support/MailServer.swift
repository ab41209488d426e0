import Foundation

@testable import NotificationServer

/// A real mail server: aiosmtpd, a Python package from PyPI, in a separate virtual environment.
///
/// `EVENTBUS_TEST_SMTP_PYTHON` may name a Python that has the package.
final class MailServer: Sendable {
    /// The kind of a server.
    enum Kind: Hashable, Sendable {
        /// The server accepts mail from everyone.
        case plain
        /// The server offers STARTTLS and accepts nothing before it.
        case startTLS
        /// The connection is encrypted from the start.
        case smtps
        /// Like `startTLS`, but mail is accepted only from `shop` with the password `secret`.
        case login
        /// The server sends this greeting and nothing else.
        case greeting(String)
    }

    /// A message that it accepted.
    struct Entry: Decodable {
        var from: String
        var to: [String]
        var message: Data
        var client: Int
        var isEncrypted: Bool
        var user: String?
    }

    let port: Int
    /// The server's certificate.
    let certificate: String
    private let scratch: Scratch
    private let child: Child

    /// Starts a server and waits until it listens.
    init(_ kind: Kind = .plain, port: Int = 0) async throws {
        let scratch = try Scratch()
        let certificate = scratch.path("certificate.pem")
        var arguments = [Python.script("smtp_server.py"), "--port", "\(port)", "--log", scratch.path("log")]
        switch kind {
        case .plain: break
        case .greeting(let text): arguments += ["--greeting", text]
        case .startTLS, .smtps, .login:
            try await Self.makeCertificate(certificate, key: scratch.path("key.pem"))
            arguments += ["--certificate", certificate, "--key", scratch.path("key.pem")]
            arguments += [kind == .smtps ? "--smtps" : "--require-starttls"]
            if kind == .login { arguments += ["--login", "shop:secret"] }
        }
        let child = try Child(try await MailServerPython.shared.path(), arguments)
        guard let listening = Int(await child.firstLine()) else {
            throw PythonFailure(arguments: arguments, output: "it does not listen")
        }
        self.port = listening
        self.certificate = certificate
        self.scratch = scratch
        self.child = child
    }

    /// The accepted messages.
    var entries: [Entry] {
        get throws {
            let decoder = JSONDecoder()
            return try scratch.contents("log").split(separator: UInt8(ascii: "\n")).map { line in
                try decoder.decode(Entry.self, from: Data(line))
            }
        }
    }

    /// Stops the server.
    func stop() async throws {
        try await child.kill()
    }

    private static func makeCertificate(_ certificate: String, key: String) async throws {
        _ = try await Python.run(
            "openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key,
                "-out",
                certificate,
            ]
        )
    }
}

/// Prepares the virtual environment once.
private actor MailServerPython {
    static let shared = MailServerPython()
    private var preparing: Task<String, any Error>?

    func path() async throws -> String {
        if let python = ProcessInfo.processInfo.environment["EVENTBUS_TEST_SMTP_PYTHON"] { return python }
        if let preparing { return try await preparing.value }
        let task = Task { () throws -> String in
            // In the checkout, because another user could prepare a predictable folder that everyone may write to.
            let folder = Python.checkout.appending(path: ".venv/smtp").path
            let python = "\(folder)/bin/python"
            if (try? await Python.run(python, ["-c", "import aiosmtpd"])) == nil {
                _ = try await Python.run("python3", ["-m", "venv", folder])
                _ = try await Python.run(python, ["-m", "pip", "install", "--quiet", "aiosmtpd==1.4.6"])
            }
            return python
        }
        preparing = task
        return try await task.value
    }
}

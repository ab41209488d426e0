import CCurl
import EventBus

/// A libcurl connection to a mail server, which is kept open between messages. Its calls block.
final class CurlHandle {
    /// The outcome of an attempt to send a message.
    struct Outcome {
        /// The result of libcurl.
        var result: CURLcode
        /// The server's replies and the progress of the transfer.
        var transfer: SMTPTransfer

        /// libcurl's description of the result.
        var problem: String { String(cString: curl_easy_strerror(result)) }
    }

    private let handle: UnsafeMutableRawPointer

    // Once per process, before anything else.
    private static let isReady = ccurl_global_init() == CURLE_OK

    /// Creates a handle that is not connected yet.
    ///
    /// - Throws: `EventBusError` with code `.unavailable` if there is no memory for it.
    init() throws {
        guard Self.isReady, let handle = curl_easy_init() else {
            throw EventBusError(.unavailable, "libcurl could not be set up; the process may lack memory")
        }
        self.handle = handle
    }

    deinit {
        curl_easy_cleanup(handle)
    }

    /// Sends a message.
    func send(_ message: MailMessage, _ configuration: SMTPConfiguration) -> Outcome {
        // This resets the options, not the connection.
        curl_easy_reset(handle)
        var transfer = SMTPTransfer(message: message.text(.crlf))
        let recipients = curl_slist_append(nil, "<\(message.recipient)>")
        defer { curl_slist_free_all(recipients) }
        let result = withUnsafeMutablePointer(to: &transfer) { transfer in
            var result = set(configuration)
            func step(_ code: CURLcode) { if result == CURLE_OK { result = code } }
            step(recipients == nil ? CURLE_OUT_OF_MEMORY : ccurl_set_list(handle, CURLOPT_MAIL_RCPT, recipients))
            step(ccurl_set_text(handle, CURLOPT_MAIL_FROM, "<\(message.sender)>"))
            step(ccurl_set_long(handle, CURLOPT_UPLOAD, 1))
            step(ccurl_set_pointer(handle, CURLOPT_READDATA, transfer))
            step(ccurl_set_transfer(handle, CURLOPT_READFUNCTION, readMessage))
            step(ccurl_set_pointer(handle, CURLOPT_HEADERDATA, transfer))
            step(ccurl_set_transfer(handle, CURLOPT_HEADERFUNCTION, noteReply))
            step(ccurl_set_transfer(handle, CURLOPT_WRITEFUNCTION, ignore))
            return result == CURLE_OK ? curl_easy_perform(handle) : result
        }
        return Outcome(result: result, transfer: transfer)
    }

    private func set(_ configuration: SMTPConfiguration) -> CURLcode {
        var result = ccurl_allow_smtp_only(handle)
        func step(_ code: CURLcode) { if result == CURLE_OK { result = code } }
        step(ccurl_set_text(handle, CURLOPT_URL, configuration.url))
        // No signals, because timeouts work without them, and they would reach unrelated threads.
        step(ccurl_set_long(handle, CURLOPT_NOSIGNAL, 1))
        // Connects directly to the server, whatever proxy the environment defines for the web.
        step(ccurl_set_text(handle, CURLOPT_PROXY, ""))
        step(ccurl_set_long(handle, CURLOPT_CONNECTTIMEOUT_MS, configuration.connectTimeout.milliseconds))
        step(ccurl_set_long(handle, CURLOPT_TIMEOUT_MS, configuration.timeout.milliseconds))
        let encryption = configuration.encryption == .required ? CURLUSESSL_ALL : CURLUSESSL_TRY
        step(ccurl_set_long(handle, CURLOPT_USE_SSL, Int(encryption.rawValue)))
        if let file = configuration.certificateFile { step(ccurl_set_text(handle, CURLOPT_CAINFO, file)) }
        if let username = configuration.username, let password = configuration.password {
            step(ccurl_set_text(handle, CURLOPT_USERNAME, username))
            step(ccurl_set_text(handle, CURLOPT_PASSWORD, password))
        }
        return result
    }
}

// The context of each callback is the transfer on the stack of `send`, which lives until `curl_easy_perform` returns.

private let readMessage: ccurl_transfer = { buffer, size, count, context in
    guard let buffer, let transfer = context?.assumingMemoryBound(to: SMTPTransfer.self) else { return 0 }
    return transfer.pointee.read(into: UnsafeMutableRawBufferPointer(start: buffer, count: size * count))
}

private let noteReply: ccurl_transfer = { line, size, count, context in
    if let line, let transfer = context?.assumingMemoryBound(to: SMTPTransfer.self) {
        transfer.pointee.note(line: UnsafeRawBufferPointer(start: line, count: size * count))
    }
    return size * count
}

private let ignore: ccurl_transfer = { _, size, count, _ in size * count }

extension Duration {
    /// The duration in whole milliseconds, at least one.
    fileprivate var milliseconds: Int {
        let (seconds, attoseconds) = components
        return max(1, Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000))
    }
}

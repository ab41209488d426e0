/// The storage of a mailbox: a file, or in tests a storage that fails at times. Nobody else writes to it meanwhile.
protocol MailStorage: AnyObject {
    /// Reads the whole content in pieces.
    func read(_ body: (ArraySlice<UInt8>) throws(MailFileError) -> Void) throws(MailFileError)

    /// Appends bytes. If that fails, some of them may have been written.
    func append(_ bytes: [UInt8]) throws(MailFileError)

    /// Truncates the content to `length`.
    func cut(to length: Int) throws(MailFileError)

    /// Waits until the written bytes are on disk. If that fails, it is unknown which of them are.
    func synchronize() throws(MailFileError)

    /// Waits until the directory entry of the file is on disk.
    func synchronizeFolder() throws(MailFileError)
}

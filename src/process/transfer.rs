//! Copies frames of raw video between system and CUDA memory.

use super::SOURCE;
use super::node::{MediaContext, MediaNode};
use crate::flow::{Error, Feed, Node, Task, Writer, decoding};
use crate::media::Memory;

/// A copy to another memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// Where the frames lie then.
    pub to: Memory,
}

impl Transfer {
    fn element(&self) -> &'static str {
        match self.to {
            Memory::Cuda => "cudaupload",
            Memory::System => "cudadownload",
        }
    }
}

/// Whether this machine can copy frames in both directions: GStreamer has these elements only where
/// it finds a CUDA driver.
pub fn is_installed() -> bool {
    let both = [Memory::Cuda, Memory::System].map(|to| Transfer { to }.element());
    both.iter().all(|element| decoding::installed(&[element]).is_some())
}

/// Copies the raw video of `input` to another memory into `output` until cancelled.
///
/// # Errors
/// When the element is missing or fails.
pub async fn run(task: Task, input: Feed, output: Writer, transfer: Transfer) -> Result<(), Error> {
    let element = transfer.element();
    let node = Node::parse(&task.name, &format!("{SOURCE} ! {element} ! appsink name=out"))?;
    node.output("out", &output)?;
    super::report_first_buffer(&node, "out", &task.status)?;
    node.start().await?;
    super::input_with_past(&node, &input, &output)?;
    let ended = node.run(&task.cancel).await;
    if ended.is_ok() {
        super::finish(&node, &input).await;
    }
    let stopped = node.stop().await;
    ended.and(stopped)
}

impl MediaNode for Transfer {
    fn describe(&self) -> String {
        match self.to {
            Memory::Cuda => "upload".into(),
            Memory::System => "download".into(),
        }
    }

    async fn run(self, context: MediaContext) -> Result<(), Error> {
        run(context.task, context.input, context.output, self).await
    }
}

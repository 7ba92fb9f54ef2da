// SPDX-License-Identifier: GPL-2.0
/*
 * dmabuf: K2U_IOC_EXPORT gives a dma-buf of the buffer, whose own mmap() maps all
 * of it by remap_pfn_range(), as that of the system heap does
 * (drivers/dma-buf/heaps/system_heap.c).
 *
 * No device can be attached: importers are refused. So nobody but CPUs writes the
 * memory, it is coherent, and DMA_BUF_IOCTL_SYNC has nothing to do here but what the
 * core does, which is to wait for fences: begin_cpu_access and end_cpu_access are
 * optional (struct dma_buf_ops, include/linux/dma-buf.h).
 */
#include "k2u_mod.h"

#ifdef CONFIG_DMA_SHARED_BUFFER
#include <linux/dma-buf.h>
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/module.h>

/*
 * What MODULE_IMPORT_NS() is made of: its argument is an identifier until 6.12
 * and a string since. Kernels without the namespace (until 5.15) take no notice.
 */
MODULE_INFO(import_ns, "DMA_BUF");

static int k2u_dmabuf_attach(struct dma_buf *dmabuf,
			     struct dma_buf_attachment *attachment)
{
	return -EOPNOTSUPP;
}

/* Required of an exporter, and never called where nothing is attached. */
static struct sg_table *k2u_dmabuf_map(struct dma_buf_attachment *attachment,
				       enum dma_data_direction direction)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static void k2u_dmabuf_unmap(struct dma_buf_attachment *attachment,
			     struct sg_table *table,
			     enum dma_data_direction direction)
{
}

/* The core has checked the range. */
static int k2u_dmabuf_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	struct file *file = dmabuf->priv;
	struct k2u_file *f = file->private_data;

	if (vma->vm_flags & VM_EXEC)
		return -EACCES;
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	vm_flags_clear(vma, VM_MAYEXEC);
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP);
	k2u_spin(K2U_METHOD_dmabuf);
	vma->vm_page_prot = k2u_cache_prot(f->buf->cache, vma->vm_page_prot);
	return k2u_pfn_mmap(f->buf, vma, vma->vm_pgoff);
}

/* With the last file descriptor and mapping of the dma-buf. */
static void k2u_dmabuf_release(struct dma_buf *dmabuf)
{
	struct file *file = dmabuf->priv;

	fput(file);
}

static const struct dma_buf_ops k2u_dmabuf_ops = {
	.attach = k2u_dmabuf_attach,
	.map_dma_buf = k2u_dmabuf_map,
	.unmap_dma_buf = k2u_dmabuf_unmap,
	.mmap = k2u_dmabuf_mmap,
	.release = k2u_dmabuf_release,
};

int k2u_dmabuf_export(struct file *file, const struct k2u_buffer *buf)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct dma_buf *dmabuf;
	int fd;

	info.ops = &k2u_dmabuf_ops;
	info.size = buf->nr_pages << PAGE_SHIFT;
	/* What the file may not, a mapping of it may not. */
	info.flags = file->f_flags & O_ACCMODE;
	info.priv = file;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	get_file(file);
	fd = dma_buf_fd(dmabuf, O_CLOEXEC);
	if (fd < 0)
		dma_buf_put(dmabuf);
	return fd;
}

const struct k2u_method_ops k2u_method_dmabuf = {};
#else
int k2u_dmabuf_export(struct file *file, const struct k2u_buffer *buf)
{
	return -EOPNOTSUPP;
}

const struct k2u_method_ops k2u_method_dmabuf = {
	.absent = "the kernel is built without CONFIG_DMA_SHARED_BUFFER",
};
#endif
